package cozy

import (
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
)

// TestDGAArticle12iTargetConformance holds the target to the contract of all targets.
func TestDGAArticle12iTargetConformance(t *testing.T) {
	caps := conformance.Caps{
		Holds:      func(r formats.Record) bool { return !strings.HasPrefix(r.Path, "trash/") },
		KnowsBlobs: true,
	}
	conformance.Target(t, caps, func(t *testing.T) conformance.Fixture {
		target := create(t, t.TempDir(), Options{})
		return conformance.Fixture{Target: target, Source: func(t *testing.T) operators.Source {
			paths, err := target.written()
			if err != nil {
				t.Fatal(err)
			}
			return open(t, paths...)
		}}
	})
}

func create(t *testing.T, dir string, opts Options) *Target {
	t.Helper()
	target, err := Create(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func open(t *testing.T, paths ...string) *Source {
	t.Helper()
	source, err := Open(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return source
}
