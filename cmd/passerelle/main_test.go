package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: scripts and tests run it as "passerelle". Those that run gateways for long, for
// browsers and for other programs, run the one that $PASSERELLE_TEST_PROGRAM names instead, if it does: one that was built
// without the race detector takes a fraction of the time, and one visitor at a time makes no races.
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
			return nil
		},
		Condition: func(name string) (bool, error) {
			return name == "samples" && os.Getenv("PASSERELLE_SAMPLES") != "", nil
		},
	})
}
