package conformance

import "github.com/passerelle-cloud/passerelle/formats"

// checkBody holds a body against the schema of its kind.
func checkBody(r formats.Record) error { return formats.CheckBody(r.Kind, r.Body) }
