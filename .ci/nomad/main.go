// Program nomad parses jobs with the parser of Nomad 1.6, the last version with an open licence: nomad FILE...
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/nomad/jobspec2"
)

func main() {
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err == nil {
			_, err = jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: path, Body: text, Strict: true})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
