package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// figures puts a table of a benchmark into docs/performance.md, between two comments that bear its name, where
// HAPSYNC_BENCH_DOCS is set, as by `make bench`; it prints it in any case.
func figures(b *testing.B, name, table string) {
	b.Helper()
	table = strings.Trim(table, "\n") + "\n"
	fmt.Printf("\n%s\n", table)
	if os.Getenv("HAPSYNC_BENCH_DOCS") == "" {
		return
	}
	const page = "../docs/performance.md"
	begin, end := "<!-- make bench: "+name+" -->\n", "<!-- make bench: end -->\n"
	text := read(b, page)
	head, rest, found := strings.Cut(text, begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		b.Fatalf("%s has no place for %s", page, name)
	}
	text = head + begin + "\n```text\n" + table + "```\n\n" + end + tail
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// A curve is how long something takes, by number of domains.
type curve struct {
	name   string
	points plotter.XYs // domains and milliseconds
}

func (c *curve) add(domains int, took time.Duration) {
	c.points = append(c.points, plotter.XY{X: float64(domains), Y: float64(took) / 1e6})
}

// draw makes a picture of the documentation, both axes by powers of ten, where HAPSYNC_BENCH_DOCS is set.
func draw(b *testing.B, name, title string, curves []*curve) {
	b.Helper()
	if os.Getenv("HAPSYNC_BENCH_DOCS") == "" {
		return
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "domains", "milliseconds until the first request is served"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	var all []any
	for _, c := range curves {
		all = append(all, c.name, c.points)
	}
	if err := plotutil.AddLinePoints(p, all...); err != nil {
		b.Fatal(err)
	}
	p.X.Max *= 1.5 // room for the last number
	p.Y.Max *= 20  // and for the legend
	if err := p.Save(18*vg.Centimeter, 12*vg.Centimeter, "../docs/images/"+name+".svg"); err != nil {
		b.Fatal(err)
	}
}
