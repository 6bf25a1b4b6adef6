package render

import (
	"reflect"

	"github.com/hapsync/hapsync/sync"
)

// Shapes are the types of what is printed as JSON, by command.
func Shapes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"plan": reflect.TypeOf(sync.ReportShape()), "list": reflect.TypeFor[ListJSON](), "agents": reflect.TypeFor[Roster](),
		"explain": reflect.TypeFor[explanationJSON](), "status": reflect.TypeFor[Status](),
	}
}
