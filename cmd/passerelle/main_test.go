package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: scripts and tests run it as "passerelle". Where $PASSERELLE_TEST_PROGRAM names
// another one they run that: built without the race detector it takes a fraction of the time, and one visitor or one command at
// a time makes no races. What the demo does, and tests that open gateways in their own process, is watched for races all the same.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"passerelle": main})
}

// gatewayProgram is the program that tests run as a gateway.
func gatewayProgram(t testing.TB) string {
	t.Helper()
	if named := os.Getenv("PASSERELLE_TEST_PROGRAM"); named != "" {
		return named
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "passerelle")
	if err := os.Symlink(exe, bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

// TestScripts runs the command line as people do. Programs that a script calls and that are not installed skip it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PASSERELLE_DATA", filepath.Join(env.WorkDir, "gateway"))
			env.Setenv("LC_ALL", "C.UTF-8") // without it unzip spells out letters, and long names become too long
			env.Setenv("PASSERELLE_SAMPLES", os.Getenv("PASSERELLE_SAMPLES"))
			if named := os.Getenv("PASSERELLE_TEST_PROGRAM"); named != "" {
				bin := filepath.Join(env.WorkDir, "bin")
				if err := errors.Join(os.Mkdir(bin, 0o700), os.Symlink(named, filepath.Join(bin, "passerelle"))); err != nil {
					return err
				}
				env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			return name == "samples" && os.Getenv("PASSERELLE_SAMPLES") != "", nil
		},
	})
}
