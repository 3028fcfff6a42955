package ledger

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is the signed state of a log (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   int64
	Hash   Hash   // the root
	Note   []byte // the signed note, with whatever cosignatures there are
}

// MarshalJSON implements [json.Marshaler]. The note is text.
func (c Checkpoint) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Origin string `json:"origin"`
		Size   int64  `json:"size"`
		Root   Hash   `json:"root"`
		Note   string `json:"note"`
	}{c.Origin, c.Size, c.Hash, string(c.Note)})
}

func (c Checkpoint) tree() tlog.Tree { return tlog.Tree{N: c.Size, Hash: tlog.Hash(c.Hash)} }

// maxNote is the greatest length of a signed checkpoint, in bytes.
const maxNote = 64 << 10

// readCheckpoint reads a checkpoint without looking at its signatures.
func readCheckpoint(signed []byte) (Checkpoint, error) {
	text, _, found := bytes.Cut(signed, []byte("\n\n"))
	if !found || len(signed) > maxNote {
		return Checkpoint{}, errors.New("it is not a signed checkpoint")
	}
	c, err := torchwood.ParseCheckpoint(string(text) + "\n")
	if err != nil {
		return Checkpoint{}, fmt.Errorf("it is not a signed checkpoint: %w", err)
	}
	return Checkpoint{Origin: c.Origin, Size: c.N, Hash: Hash(c.Hash), Note: signed}, nil
}

func checkOrigin(origin string) error {
	bad := func(r rune) bool { return unicode.IsSpace(r) || r == '+' || unicode.IsControl(r) }
	if origin == "" || len(origin) > 255 || strings.ContainsFunc(origin, bad) {
		return fmt.Errorf("%q cannot be the name of a log: a host and a path, without spaces and plus signs", origin)
	}
	return nil
}

// VerifierKey is a log's public key as verifiers take it (C2SP signed-note): name, hash and key.
func VerifierKey(origin string, public crypto.PublicKey) (string, error) {
	key, ok := public.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("a log is signed with an Ed25519 key, not with a %T", public)
	}
	if err := checkOrigin(origin); err != nil {
		return "", err
	}
	return note.NewEd25519VerifierKey(origin, key)
}

// WitnessKey is a witness's public key as verifiers take it (C2SP tlog-cosignature).
func WitnessKey(name string, signer crypto.Signer) (string, error) {
	if err := checkOrigin(name); err != nil {
		return "", err
	}
	cosigner, err := torchwood.NewCosignatureSigner(name, signer)
	if err != nil {
		return "", err
	}
	return cosigner.Verifier().String(), nil
}

// noteSigner signs notes with a key that may be elsewhere.
type noteSigner struct {
	note.Verifier
	key crypto.Signer
}

func newNoteSigner(origin string, key crypto.Signer) (*noteSigner, error) {
	vkey, err := VerifierKey(origin, key.Public())
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	return &noteSigner{Verifier: verifier, key: key}, nil
}

func (s *noteSigner) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(nil, msg, crypto.Hash(0))
}

// signAgain signs a checkpoint that was signed before.
func (l *Ledger) signAgain(ctx context.Context, c Checkpoint) (Checkpoint, error) {
	signer, err := l.signer(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	return signWith(signer, c)
}

func (l *Ledger) signer(ctx context.Context) (*noteSigner, error) {
	key, err := l.opt.Signer(ctx)
	if err != nil {
		return nil, fmt.Errorf("get the log's key: %w", err)
	}
	return newNoteSigner(l.opt.Origin, key)
}

// sign signs the checkpoint of a tree.
func (l *Ledger) sign(ctx context.Context, t *tree) (Checkpoint, error) {
	if err := l.refused(); err != nil {
		return Checkpoint{}, err
	}
	signer, err := l.signer(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	return signWith(signer, Checkpoint{Origin: l.opt.Origin, Size: t.size, Hash: t.root()})
}

func signWith(signer note.Signer, c Checkpoint) (_ Checkpoint, err error) {
	text := torchwood.Checkpoint{Origin: c.Origin, Tree: c.tree()}.String()
	if c.Note, err = note.Sign(&note.Note{Text: text}, signer); err != nil {
		return Checkpoint{}, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return c, nil
}

// highWater remembers the greatest checkpoint that was seen committed, in a file outside the database. It need not
// survive a power cut to the last moment, but whatever it holds must have been public.
type highWater struct {
	path   string
	origin string
	mu     sync.Mutex
	last   int64
}

// rise remembers a committed checkpoint.
func (w *highWater) rise(c Checkpoint) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" || c.Size <= w.last {
		return nil
	}
	if seen, ok, err := w.read(); err == nil && ok && seen.Size >= c.Size { // another replica's file too
		return nil
	}
	tmp := fmt.Sprintf("%s.%d.new", w.path, os.Getpid())
	if err := os.WriteFile(tmp, c.Note, 0o600); err != nil {
		return fmt.Errorf("remember the log's size: %w", err)
	}
	if err := os.Rename(tmp, w.path); err != nil {
		return fmt.Errorf("remember the log's size: %w", err)
	}
	w.last = c.Size
	return nil
}

// read returns the remembered checkpoint; ok is false where there is none.
func (w *highWater) read() (c Checkpoint, ok bool, err error) {
	if w.path == "" {
		return Checkpoint{}, false, nil
	}
	signed, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(signed) == 0 { // a power cut may leave an empty file
		return Checkpoint{}, false, nil
	}
	if err != nil {
		return Checkpoint{}, false, fmt.Errorf("read what was published before: %w", err)
	}
	if c, err = readCheckpoint(signed); err != nil {
		return Checkpoint{}, false, fmt.Errorf("read what was published before: %s: %w", w.path, err)
	}
	return c, true, nil
}

// check returns an error wrapping ErrRolledBack where the database does not hold what was published before.
func (w *highWater) check(ctx context.Context, log *Log, head Checkpoint) error {
	seen, ok, err := w.read()
	if err != nil || !ok {
		return err
	}
	if seen.Origin != w.origin {
		return fmt.Errorf("%w: %s belongs to the log %q", ErrRolledBack, filepath.Base(w.path), seen.Origin)
	}
	if seen.Size > head.Size {
		return fmt.Errorf("%w: it has %d leaves, and %s remembers a signed checkpoint of %d: it was restored from a backup. "+
			"Restore the newest database; a log that lost leaves cannot go on under its name", ErrRolledBack, head.Size, w.path, seen.Size)
	}
	if seen.Size == 0 {
		return nil
	}
	root, err := log.rootAt(ctx, head, seen.Size)
	if err != nil {
		return err
	}
	if root != seen.Hash {
		return fmt.Errorf("%w: its first %d leaves have the root %s, and %s remembers %s: it was changed", ErrRolledBack, seen.Size, root, w.path, seen.Hash)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = seen.Size
	return nil
}
