package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: scripts and tests run it as "passerelle".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"passerelle": main})
}

// TestScripts runs the command line as people do. Programs that a script calls and that are not installed skip it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PASSERELLE_DATA", filepath.Join(env.WorkDir, "gateway"))
			env.Setenv("LC_ALL", "C.UTF-8") // without it unzip spells out letters, and long names become too long
			env.Setenv("PASSERELLE_SAMPLES", os.Getenv("PASSERELLE_SAMPLES"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			return name == "samples" && os.Getenv("PASSERELLE_SAMPLES") != "", nil
		},
	})
}
