package ledger

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Cosigner is our witness of other operators' logs (C2SP tlog-witness): it cosigns a checkpoint if it goes on where the
// last one that it cosigned ended, and never two that contradict each other.
type Cosigner struct {
	db     *sqldb.DB
	name   string
	signer func(context.Context) (crypto.Signer, error)
	logs   map[string]*Trust // by origin
	log    *slog.Logger
}

// NewCosigner returns the witness of that name. It witnesses the logs with these keys; a log whose key was rotated has
// several.
func NewCosigner(ctx context.Context, db *sqldb.DB, name string, signer func(context.Context) (crypto.Signer, error), logs []string, log *slog.Logger) (*Cosigner, error) {
	if err := checkOrigin(name); err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	keys := map[string][]string{}
	for _, key := range logs {
		v, err := note.NewVerifier(strings.TrimSpace(key))
		if err != nil {
			return nil, fmt.Errorf("%.200q is not the key of a log (name+hash+key): %w", key, err)
		}
		keys[v.Name()] = append(keys[v.Name()], key)
	}
	c := &Cosigner{db: db, name: name, signer: signer, logs: map[string]*Trust{}, log: log}
	for origin, keys := range keys {
		trust, err := NewTrust(keys, nil, 0)
		if err != nil {
			return nil, err
		}
		c.logs[origin] = trust
	}
	return c, nil
}

const (
	maxRequest    = 128 << 10 // bytes
	maxProofLines = 63
	tlogSize      = "text/x.tlog.size"
)

// refusal is an answer other than a cosignature.
type refusal struct {
	status int
	text   string
	size   int64 // of 409: what was seen last; otherwise -1
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, text: fmt.Sprintf(format, args...), size: -1}
}

func conflict(size int64) error {
	return &refusal{status: http.StatusConflict, text: "this witness saw another size last", size: size}
}

// Handler serves POST /add-checkpoint.
func (c *Cosigner) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "the request is larger than a witness needs", http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			http.Error(w, "the request cannot be read", http.StatusBadRequest)
			return
		}
		lines, err := c.add(r.Context(), body)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(lines) // if the log is gone it asks again
	})
	return mux
}

func (c *Cosigner) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var why *refusal
	switch {
	case !errors.As(err, &why):
		if r.Context().Err() == nil {
			c.log.Error("a checkpoint cannot be cosigned", "error", err)
		}
		http.Error(w, "it cannot be cosigned now", http.StatusInternalServerError)
	case why.size >= 0:
		w.Header().Set("Content-Type", tlogSize)
		w.WriteHeader(why.status)
		fmt.Fprintf(w, "%d\n", why.size)
	default:
		http.Error(w, why.text, why.status)
	}
}

// request is what a log sends.
type request struct {
	old   int64
	proof tlog.TreeProof
	note  []byte
}

func parseRequest(body []byte) (*request, error) {
	head, signed, found := bytes.Cut(body, []byte("\n\n"))
	if !found {
		return nil, refuse(http.StatusBadRequest, "there is no empty line before the checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	number, ok := strings.CutPrefix(lines[0], "old ")
	old, err := parseCount(number)
	if !ok || err != nil {
		return nil, refuse(http.StatusBadRequest, "the first line is not \"old\" and a size")
	}
	if len(lines)-1 > maxProofLines {
		return nil, refuse(http.StatusBadRequest, "the proof has %d lines, more than %d", len(lines)-1, maxProofLines)
	}
	r := &request{old: old, note: signed}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(hash) != sha256.Size {
			return nil, refuse(http.StatusBadRequest, "a line of the proof is not a hash in base64")
		}
		r.proof = append(r.proof, tlog.Hash(hash))
	}
	return r, nil
}

// add cosigns a checkpoint, or says why not.
func (c *Cosigner) add(ctx context.Context, body []byte) ([]byte, error) {
	r, err := parseRequest(body)
	if err != nil {
		return nil, err
	}
	at, err := readCheckpoint(r.note)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	trust := c.logs[at.Origin]
	if trust == nil {
		return nil, refuse(http.StatusNotFound, "this witness does not watch that log")
	}
	if _, _, err := trust.Open(r.note); err != nil {
		return nil, refuse(http.StatusForbidden, "%v", err)
	}
	if r.old > at.Size {
		return nil, refuse(http.StatusBadRequest, "the old size %d is larger than the checkpoint's, %d", r.old, at.Size)
	}
	// What was seen is durable before the cosignature exists.
	if err := c.db.Tx(ctx, func(tx *sql.Tx) error { return c.advance(ctx, tx, r, at) }); err != nil {
		return nil, err
	}
	return c.cosign(ctx, r.note)
}

// advance moves what was seen of a log from the old size to that of a checkpoint, if it extends what was seen.
func (c *Cosigner) advance(ctx context.Context, tx *sql.Tx, r *request, at Checkpoint) error {
	empty := sha256.Sum256(nil)
	_, err := tx.ExecContext(ctx, `INSERT INTO ledger_witnessed (origin, size, root) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING`, at.Origin, empty[:])
	if err != nil {
		return fmt.Errorf("remember a log: %w", err)
	}
	var size int64
	var root []byte
	// The update takes the row's lock, so that nobody else cosigns meanwhile.
	if err := tx.QueryRowContext(ctx, `UPDATE ledger_witnessed SET size = size WHERE origin = $1 RETURNING size, root`, at.Origin).Scan(&size, &root); err != nil {
		return fmt.Errorf("find what was seen of a log: %w", err)
	}
	if size != r.old {
		return conflict(size)
	}
	if err := extends(r, at, size, root); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE ledger_witnessed SET size = $1, root = $2 WHERE origin = $3`, at.Size, at.Hash[:], at.Origin); err != nil {
		return fmt.Errorf("remember what was seen of a log: %w", err)
	}
	return nil
}

// extends checks that a checkpoint has what was seen as its beginning.
func extends(r *request, at Checkpoint, size int64, root []byte) error {
	if size == at.Size {
		if !bytes.Equal(root, at.Hash[:]) {
			return conflict(size)
		}
		if len(r.proof) > 0 {
			return refuse(http.StatusUnprocessableEntity, "nothing is to be proved where nothing was added")
		}
		return nil
	}
	if size == 0 {
		if len(r.proof) > 0 {
			return refuse(http.StatusUnprocessableEntity, "nothing is to be proved from the empty log")
		}
		return nil
	}
	if err := tlog.CheckTree(r.proof, at.Size, tlog.Hash(at.Hash), size, tlog.Hash(root)); err != nil {
		return refuse(http.StatusUnprocessableEntity, "the proof does not show that the log only grew")
	}
	return nil
}

// cosign returns the cosignature's line.
func (c *Cosigner) cosign(ctx context.Context, signed []byte) ([]byte, error) {
	key, err := c.signer(ctx)
	if err != nil {
		return nil, fmt.Errorf("get the witness's key: %w", err)
	}
	signer, err := torchwood.NewCosignatureSigner(c.name, key)
	if err != nil {
		return nil, err
	}
	text, _, _ := bytes.Cut(signed, []byte("\n\n"))
	n, err := note.Sign(&note.Note{Text: string(text) + "\n"}, signer)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	_, lines, _ := bytes.Cut(n, []byte("\n\n"))
	return lines, nil
}
