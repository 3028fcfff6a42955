package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// vaultKV is what one path of a KV engine (version 2) holds. Fields are those of Vault's API.
type vaultKV struct {
	Data     json.RawMessage `json:"data"` // null where this version was deleted or destroyed
	Metadata kvMetadata      `json:"metadata"`
}

type kvMetadata struct {
	Version      int    `json:"version"`
	DeletionTime string `json:"deletion_time"` // of a soft deletion, which may lie ahead; empty if none
	Destroyed    bool   `json:"destroyed"`
}

var (
	// errChanged says that somebody else wrote meanwhile.
	errChanged = errors.New("it was changed meanwhile")
	// errDestroyed says that there was something, which cannot come back.
	errDestroyed = errors.New("it was destroyed")
)

func (v *Vault) dataPath(name string) string { return v.cfg.KV + "/data/" + v.cfg.Prefix + "/" + name }
func (v *Vault) metadataPath(name string) string {
	return v.cfg.KV + "/metadata/" + v.cfg.Prefix + "/" + name
}

// read fills what is kept under a name into out, and returns its version. The error wraps errNothingThere if there
// never was anything or all of it was removed, errDestroyed (with the version) if there is something left of it, and
// ErrDamaged if it was deleted in such a way that it can be brought back.
func (v *Vault) read(ctx context.Context, name string, out any) (int, error) {
	var got answer[vaultKV]
	err := v.session.do(ctx, get(v.dataPath(name)), &got)
	kept := got.Data.Metadata
	switch {
	case err != nil && !errors.Is(err, errNothingThere):
		return 0, err
	case kept.Version == 0 && err == nil:
		return 0, v.notKV2()
	case kept.Version == 0:
		return 0, err
	case kept.Destroyed:
		return kept.Version, fmt.Errorf("%s in Vault: %w", v.dataPath(name), errDestroyed)
	case err != nil:
		return 0, fmt.Errorf("%w: %s was deleted in Vault: run vault kv undelete -mount=%s -versions=%d %s/%s",
			ErrDamaged, v.dataPath(name), v.cfg.KV, kept.Version, v.cfg.Prefix, name)
	}
	if err := v.checkLasting(kept); err != nil {
		return 0, err
	}
	if err := json.Unmarshal(got.Data.Data, out); err != nil {
		// The error of encoding/json is left out, lest it repeat what is secret.
		return 0, fmt.Errorf("%w: %s in Vault is not what the gateway writes; restore an older version of it", ErrDamaged, v.dataPath(name))
	}
	return kept.Version, nil
}

// write replaces version was (0 if there must be none) of what is kept under a name, or returns errChanged.
func (v *Vault) write(ctx context.Context, name string, was int, data any) (int, error) {
	body := map[string]any{"data": data, "options": map[string]int{"cas": was}}
	var got answer[kvMetadata]
	err := v.session.do(ctx, put(v.dataPath(name), body), &got)
	switch {
	case refused(err, "check-and-set parameter did not match"):
		return 0, errChanged
	case err != nil:
		return 0, err
	case got.Data.Version == 0:
		return 0, v.notKV2()
	}
	return got.Data.Version, v.checkLasting(got.Data)
}

// remove removes all versions of what is kept under a name.
func (v *Vault) remove(ctx context.Context, name string) error {
	err := v.session.do(ctx, remove(v.metadataPath(name)), nil)
	if errors.Is(err, errNothingThere) {
		return nil
	}
	return err
}

func (v *Vault) notKV2() error {
	return fmt.Errorf("the engine at %s/ in Vault is not version 2 of the key-value engine: run vault kv enable-versioning %s/, or name another mount",
		v.cfg.KV, v.cfg.KV)
}

// checkLasting refuses an engine that is set to delete what it keeps: keys and secrets would go with time.
func (v *Vault) checkLasting(m kvMetadata) error {
	if m.DeletionTime == "" {
		return nil
	}
	return fmt.Errorf("%w: the engine at %s/ in Vault will delete keys on %s: set its delete_version_after to 0s, then write or undelete what it holds",
		ErrDamaged, v.cfg.KV, m.DeletionTime)
}

// checkMounts names engines of the wrong kind. One that is missing, or closed to us, is named by what is read next.
func (v *Vault) checkMounts(ctx context.Context) error {
	for _, want := range []struct{ mount, kind string }{{v.cfg.Transit, "transit"}, {v.cfg.KV, "kv"}} {
		var got answer[struct {
			Type    string            `json:"type"`
			Options map[string]string `json:"options"`
		}]
		err := v.session.do(ctx, get("sys/internal/ui/mounts/"+want.mount), &got)
		switch {
		case errors.Is(err, ErrDenied):
		case err != nil:
			return err
		case got.Data.Type != want.kind:
			return fmt.Errorf("the engine at %s/ in Vault is %.40q, not %q: correct the mount", want.mount, got.Data.Type, want.kind)
		case want.kind == "kv" && got.Data.Options["version"] != "2":
			return v.notKV2()
		}
	}
	return nil
}
