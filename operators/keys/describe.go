package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// Describe returns the signed statement of an operator with this profile and these keys. It signs a new one, with the
// next version, only where profile or keys have changed since the last one.
func Describe(ctx context.Context, profile statement.Operator, store Store) (*statement.Signed, error) {
	raw, err := store.Publish(ctx, func(last []byte, version int64) ([]byte, error) {
		public, err := store.Public(ctx)
		if err != nil {
			return nil, err
		}
		st := statement.Statement{
			Format: statement.Format, Version: version, Issued: now(), Operator: profile, Keys: public.Keys,
			Succession: public.Succession[max(0, len(public.Succession)-statement.MaxSuccession):],
		}
		if says(last, st) {
			return nil, nil
		}
		identity, err := store.Signer(ctx, statement.UseIdentity)
		if err != nil {
			return nil, err
		}
		return statement.Sign(st, identity)
	})
	if err != nil {
		return nil, fmt.Errorf("describe the operator %s: %w", profile.ID, err)
	}
	return statement.Parse(raw)
}

// says reports whether a signed statement says the same as st, its version and date apart. One that cannot be read
// says nothing.
func says(last []byte, st statement.Statement) bool {
	signed, err := statement.Parse(last)
	if err != nil {
		return false
	}
	st.Version, st.Issued = signed.Statement.Version, signed.Statement.Issued
	want, err1 := json.Marshal(st)
	have, err2 := json.Marshal(signed.Statement)
	return err1 == nil && err2 == nil && bytes.Equal(want, have)
}
