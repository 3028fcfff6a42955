package archive

import (
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Fault is one thing that is wrong with an archive.
type Fault struct {
	Code   string `json:"code"` // for machines: "hash", "missing", "unlisted", "duplicate", "path", "signature", …
	Path   string `json:"path,omitempty"`
	Detail string `json:"detail"`
}

func (f Fault) String() string {
	if f.Path == "" {
		return f.Detail
	}
	return f.Path + ": " + f.Detail
}

// Report is what verification found out.
type Report struct {
	Intact   bool    `json:"intact"` // no fault was found: it is, byte for byte, what its signer signed
	Faults   []Fault `json:"faults"`
	Unlisted int     `json:"unlisted_faults,omitempty"` // faults beyond the first thousand

	Signer   *Signer      `json:"signer,omitempty"`
	Claims   *Claims      `json:"claims,omitempty"`
	Root     formats.Hash `json:"root"`
	Repacked bool         `json:"repacked"` // unpacked, or packed again by another program: judged by its contents
}

// Signer is whose key signed an archive.
type Signer struct {
	Fingerprint string `json:"fingerprint"` // of the archive key, SHA-256
	Operator    string `json:"operator"`    // the id that the statement in the archive gives; proven only if Trusted
	Name        string `json:"name"`
	Trusted     bool   `json:"trusted"`       // by a pin
	Why         string `json:"why,omitempty"` // why it is not trusted
}

const maxFaults = 1000

func (r *Report) fault(f Fault) {
	if len(r.Faults) == maxFaults {
		r.Unlisted++
		return
	}
	r.Faults = append(r.Faults, f)
}

func (r *Report) faultf(code, path, format string, args ...any) {
	r.fault(Fault{Code: code, Path: path, Detail: fmt.Sprintf(format, args...)})
}

// Err returns nil for an intact archive, and otherwise an error that names the first faults.
func (r *Report) Err() error {
	if len(r.Faults) == 0 {
		return nil
	}
	text := ""
	for i, f := range r.Faults {
		if i == 5 {
			text += fmt.Sprintf("; and %d more", len(r.Faults)+r.Unlisted-i)
			break
		}
		if i > 0 {
			text += "; "
		}
		text += f.String()
	}
	return fmt.Errorf("%w: %s", ErrFault, text)
}
