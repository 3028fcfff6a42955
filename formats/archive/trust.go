package archive

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// JudgeBy returns the function that judges a signer by pinned statements, for [Expectations]. It trusts a signer
// whose statement in the archive belongs to a pinned operator, and whose key was good for archives at that time: by
// the newer of the two statements, since an old archive holds an old one that knows of no later revocation.
func JudgeBy(pins *statement.Pins) func(data []byte, key ed25519.PublicKey, at time.Time) Signer {
	return func(data []byte, key ed25519.PublicKey, at time.Time) Signer {
		signed, err := statement.Parse(data)
		if err != nil {
			return Signer{Why: fmt.Sprintf("the operator statement in the archive cannot be read: %v", err)}
		}
		signer := Signer{Operator: string(signed.Statement.ID), Name: signed.Statement.LegalName}
		if err := signed.ArchiveKeyAt(key, at); err != nil {
			signer.Why = err.Error()
			return signer
		}
		trust := pins.Judge(signed)
		if err := trust.ArchiveKeyAt(key, at); err != nil {
			signer.Why = err.Error()
			return signer
		}
		signer.Name = trust.Name
		signer.Trusted = true
		return signer
	}
}
