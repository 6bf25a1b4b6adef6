package compose

import (
	"os"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestOneServiceBuildsEachImage: docker compose v2 builds an image once for each service that has "build", at the same time. The last one
// gets the name, and the next "up" creates the containers of the others anew. A service without "build" has to come after the one with it.
func TestOneServiceBuildsEachImage(t *testing.T) {
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	type service struct {
		Image     string
		Build     any
		DependsOn map[string]any `yaml:"depends_on"`
	}
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	builders := map[string]string{}
	for name, s := range file.Services {
		if s.Build == nil {
			continue
		}
		if other := builders[s.Image]; other != "" {
			t.Errorf("%s and %s build the image %s", name, other, s.Image)
		}
		builders[s.Image] = name
	}
	var after func(name, builder string) bool
	after = func(name, builder string) bool {
		for needed := range file.Services[name].DependsOn {
			if needed == builder || after(needed, builder) {
				return true
			}
		}
		return false
	}
	for name, s := range file.Services {
		if builder := builders[s.Image]; builder != "" && name != builder && !after(name, builder) {
			t.Errorf("%s does not depend on %s, which builds its image", name, builder)
		}
	}
	if len(builders) != 3 {
		t.Errorf("images are built by %v, want three", builders)
	}
}
