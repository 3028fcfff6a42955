package keys

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

const (
	vaultListName   = "keys"
	vaultListFormat = "passerelle-vault-keys/1"
	// listAge is how old a list may be from which a signer is taken: so late at most does a process see that another
	// one has rotated a key. Its own rotations it sees at once.
	listAge = 5 * time.Second
	// maxRounds is how often a change is tried again because others were faster.
	maxRounds = 50
)

// vaultList is the list of keys in Vault. The statement is a part of it, so that both change at once.
type vaultList struct {
	keyList
	Transit   map[string]int `json:"transit"` // version in the transit engine, by key id, of those that sign
	Statement []byte         `json:"statement,omitempty"`

	was    int       // version in the KV engine; 0 if not written yet
	kept   kvList    // under that version
	loaded time.Time // when it was read or written
}

// kvList is the list as the KV engine keeps it: as text, which Vault does not reorder.
type kvList struct {
	List  string `json:"list"`
	Write string `json:"write"` // a random name of the write, by which it knows itself again
}

// load reads the list, which signers then come from too: it is not to be changed.
func (v *Vault) load(ctx context.Context) (*vaultList, error) {
	list, err := v.fetch(ctx)
	if err == nil {
		v.keep(list)
	}
	return list, err
}

// fetch reads the list. The error wraps errNothingThere only where there is no list yet.
func (v *Vault) fetch(ctx context.Context) (*vaultList, error) {
	var kept kvList
	was, err := v.read(ctx, vaultListName, &kept)
	if errors.Is(err, errDestroyed) {
		return nil, v.damaged("%v", err)
	}
	if err != nil {
		return nil, err
	}
	list := &vaultList{was: was, kept: kept, loaded: time.Now()}
	if err := decodeList([]byte(kept.List), list); err != nil {
		return nil, v.damaged("%v", err)
	}
	if err := list.check(vaultListFormat); err != nil {
		return nil, v.damaged("%v", err)
	}
	for _, k := range list.Keys {
		if k.Use != statement.UseEncryption && list.Transit[k.Kid] < 1 {
			return nil, v.damaged("it does not say which version of the transit key %s is", k.Kid)
		}
	}
	return list, nil
}

func (v *Vault) damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s in Vault: %s; restore an older version of it (vault kv rollback), or Vault from a backup",
		ErrDamaged, v.dataPath(vaultListName), fmt.Sprintf(format, args...))
}

// keep keeps the newest list for signers.
func (v *Vault) keep(list *vaultList) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.list == nil || list.was >= v.list.was || time.Since(v.list.loaded) > listAge {
		v.list = list
	}
}

// forget lets the next signer come from a list that is read anew.
func (v *Vault) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = nil
}

// recent returns a list that is at most listAge old. It is shared, and not to be changed.
func (v *Vault) recent(ctx context.Context) (*vaultList, error) {
	v.mu.Lock()
	list := v.list
	v.mu.Unlock()
	if list != nil && time.Since(list.loaded) <= listAge {
		return list, nil
	}
	return v.load(ctx)
}

// change changes the list by how, which is called again on a newer list wherever another process was faster. Key
// versions which that leaves without an entry in the list are nobody's: they go when those before them go.
func (v *Vault) change(ctx context.Context, how func(*vaultList) error) error {
	select {
	case v.changing <- struct{}{}: // within a process, changes wait for each other
		defer func() { <-v.changing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for range maxRounds {
		list, err := v.begin(ctx)
		if err != nil {
			return err
		}
		if err = how(list); err != nil {
			// What how saw may have changed under its feet.
			if now, loadErr := v.load(ctx); loadErr != nil || now.was == list.was {
				return err
			}
			continue
		}
		if err = v.save(ctx, list); err == nil {
			return v.destroyRetired(ctx, list)
		}
		if !errors.Is(err, errChanged) {
			return err
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(50 * time.Millisecond)))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("change %s in Vault: %w", v.dataPath(vaultListName), errLostRace)
}

// begin loads the list. Where there is none it writes an empty one before the first key is made, so that keys without
// a list can only mean that the list was lost. Nobody wants new keys then: others would take the operator for an
// impostor.
func (v *Vault) begin(ctx context.Context) (*vaultList, error) {
	list, err := v.fetch(ctx)
	if !errors.Is(err, errNothingThere) {
		return list, err
	}
	for _, use := range statement.Uses() {
		if use == statement.UseEncryption {
			continue
		}
		_, err := v.readTransit(ctx, use)
		if errors.Is(err, errNothingThere) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list, err := v.fetch(ctx) // another process may have begun just now
		if errors.Is(err, errNothingThere) {
			return nil, v.damaged("it is missing, yet there is a key %s/keys/%s", v.cfg.Transit, v.transitName(use))
		}
		return list, err
	}
	empty := &vaultList{keyList: keyList{Format: vaultListFormat, Keys: []statement.Key{}}}
	if err := v.save(ctx, empty); err != nil && !errors.Is(err, errChanged) {
		return nil, err
	}
	return v.fetch(ctx)
}

// save writes a list that has changed, or returns errChanged if it was not made from the one that is kept now.
func (v *Vault) save(ctx context.Context, list *vaultList) error {
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if string(data) == list.kept.List {
		return nil
	}
	fresh := kvList{List: string(data), Write: crand.Text()}
	version, err := v.write(ctx, vaultListName, list.was, fresh)
	if errors.Is(err, errChanged) {
		// A write whose answer was lost is sent again, and then meets itself.
		if met, again := v.fetch(ctx); again == nil && met.kept == fresh {
			version, err = met.was, nil
		}
	}
	if err != nil {
		return err
	}
	list.was, list.kept, list.loaded = version, fresh, time.Now()
	v.keep(list)
	return nil
}
