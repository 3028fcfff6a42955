package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// TestErasure erases a person who has an instance, and shows the signed certificate; done twice it is done.
func TestErasure(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	loaded(t, data)
	out := filepath.Join(t.TempDir(), "certificate.jws")
	if _, code := call(t, "--data", data, "person", "erase", "alice", "--out", out); code != exitUsage {
		t.Errorf("without --yes: %d", code)
	}
	said := mustCall(t, "--data", data, "person", "erase", "alice", "--out", out, "--yes")
	if !strings.Contains(said, "alice is erased") || !strings.Contains(said, "The log says so in leaf") {
		t.Errorf("%s", said)
	}
	certificate := func() transfer.Certificate {
		t.Helper()
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(strings.TrimSpace(string(text)), ".")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		var c transfer.Certificate
		if err := json.Unmarshal(payload, &c); err != nil {
			t.Fatal(err)
		}
		good := false
		for _, key := range publishedTokenKeys(t, data) {
			good = good || ed25519.Verify(key, []byte(parts[0]+"."+parts[1]), signature)
		}
		if !good {
			t.Error("no key of the operator signed it")
		}
		return c
	}
	c := certificate()
	if c.Person != "alice" || c.Instance.Records == 0 || c.Consents.Leaf < 0 || c.Consents.Hash == "" || !strings.Contains(c.Consents.Log, "/log") || time.Since(c.Erased) > time.Minute || len(c.Retained) != 1 {
		t.Errorf("%+v", c)
	}
	if list := mustCall(t, "--data", data, "person", "list"); strings.Contains(list, "alice") {
		t.Errorf("she is still there: %s", list)
	}
	if text, code := call(t, "--data", data, "log", "show", "--person", "alice"); code == exitDone {
		t.Errorf("the log still tells of her: %s", text)
	}
	mustCall(t, "--data", data, "person", "erase", "alice", "--out", out, "--yes")
	if c := certificate(); c.Instance.Records != 0 || c.Consents.Leaf != -1 {
		t.Errorf("erased twice: %+v", c)
	}
}

// TestNameOfWhoWaitsToBeErased: nobody else gets the name of a person of whom something must be kept for a while.
func TestNameOfWhoWaitsToBeErased(t *testing.T) {
	data := t.TempDir()
	mustCall(t, "--data", data, "audit", "check") // makes the tables
	db, err := sqldb.Open(t.Context(), filepath.Join(data, "passerelle.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Write.ExecContext(t.Context(), `INSERT INTO consent_erasure (person, due) VALUES ('alice', $1)`, time.Now().AddDate(5, 0, 0).UnixMicro())
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if said, code := call(t, "--data", data, "person", "add", "alice"); code != exitFailed {
		t.Errorf("%d: %s", code, said)
	}
	if list := mustCall(t, "--data", data, "person", "list"); strings.Contains(list, "alice") {
		t.Errorf("there is an instance of that name: %s", list)
	}
	mustCall(t, "--data", data, "person", "add", "bob")
}

// publishedTokenKeys are the operator's keys for tokens.
func publishedTokenKeys(t *testing.T, data string) (list []ed25519.PublicKey) {
	t.Helper()
	var statement struct {
		Payload string `json:"payload"`
	}
	if err := json.Unmarshal([]byte(mustCall(t, "--data", data, "operator", "publish")), &statement); err != nil {
		t.Fatal(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(statement.Payload)
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Keys []struct {
			Use string
			JWK struct{ X string }
		}
	}
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	for _, k := range said.Keys {
		if k.Use != "tokens" {
			continue
		}
		key, err := base64.RawURLEncoding.DecodeString(k.JWK.X)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, key)
	}
	return list
}
