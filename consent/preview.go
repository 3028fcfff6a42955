package consent

import "github.com/passerelle-cloud/passerelle/formats"

// Preview returns what of a record would leave by a detail alone, to show it to the person whose it is; false if nothing
// would. It opens no door: it is given the record.
func (d *Detail) Preview(r formats.Record) (formats.Record, bool, error) {
	p := Permit{covering: []Detail{*d}}
	return p.Admit(r)
}
