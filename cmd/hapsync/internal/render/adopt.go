package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/hapsync/hapsync/registry"
)

// An Adoption is what hapsync adopt shows: the plan for a file of another tool, and how to switch.
type Adoption struct {
	Report Report
	File   string
	// Switch are the steps to hapsync, Back those to the other tool.
	Switch, Back []AdoptStep
}

// An AdoptStep is a step for the operator.
type AdoptStep struct {
	What     string   `json:"what" doc:"what to do, and why"`
	Lines    []string `json:"lines" doc:"lines for the file that 'what' names; empty if there are none"`
	Commands []string `json:"commands" doc:"the commands, as root; empty if there are none"`
}

type adoptionJSON struct {
	Version int         `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	File    string      `json:"file" doc:"the file that is taken over"`
	Plan    *reportJSON `json:"plan" doc:"what hapsync would do, as 'hapsync plan -o json' prints it"`
	Switch  []AdoptStep `json:"switch" doc:"the steps to hapsync, in order"`
	Back    []AdoptStep `json:"back" doc:"the steps back to the other tool, in order"`
}

// WriteJSON implements Page.
func (a Adoption) WriteJSON(w io.Writer) error {
	steps := func(all []AdoptStep) []AdoptStep {
		return each(all, func(s AdoptStep) AdoptStep { return AdoptStep{s.What, orEmpty(s.Lines), orEmpty(s.Commands)} })
	}
	return JSON(w, adoptionJSON{1, a.File, reportToJSON(a.Report.only()), steps(a.Switch), steps(a.Back)})
}

// WriteText implements Page.
func (a Adoption) WriteText(w io.Writer) error {
	var out bytes.Buffer
	if err := a.Report.WriteText(&out); err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		steps []AdoptStep
	}{{"To switch to hapsync, as root:", a.Switch}, {"To switch back, as root:", a.Back}} {
		fmt.Fprintf(&out, "\n%s\n", part.title)
		for i, s := range part.steps {
			fmt.Fprintf(&out, "\n%d. %s\n\n", i+1, registry.OneLine(s.What))
			for _, line := range append(orEmpty(s.Lines), s.Commands...) {
				fmt.Fprintf(&out, "       %s\n", strings.TrimSpace(registry.OneLine(line)))
			}
		}
	}
	_, err := out.WriteTo(w)
	return err
}
