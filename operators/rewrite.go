package operators

import "github.com/passerelle-cloud/passerelle/formats"

// Rewrite is a record that a program of the operator's makes of others, in the place of what it saw there. A record with
// Deleted set removes what is there.
type Rewrite struct {
	Record formats.Record
	Was    formats.Hash // of the line that was seen there; zero: nothing was
}
