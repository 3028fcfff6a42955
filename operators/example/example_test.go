package example_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
	"github.com/passerelle-cloud/passerelle/operators/example"
)

func person(t *testing.T, seed uint64, scale example.Scale) []formats.Record {
	t.Helper()
	return conformance.Read(t, example.Person(seed, scale)).Records
}

func TestSource(t *testing.T) {
	conformance.Source(t, func(t *testing.T) operators.Source { return example.Person(1, example.Scale{}) }, conformance.Expect{})
}

func TestSeed(t *testing.T) {
	one, other := root(t, person(t, 1, example.Scale{})), root(t, person(t, 2, example.Scale{}))
	if one == other {
		t.Error("two seeds give the same person")
	}
	if again := root(t, person(t, 1, example.Scale{})); again != one {
		t.Errorf("one seed gives %s, then %s", one, again)
	}
}

func root(t *testing.T, records []formats.Record) formats.Hash {
	t.Helper()
	var all []byte
	for _, r := range records {
		var err error
		if all, err = r.AppendLine(all); err != nil {
			t.Fatal(err)
		}
	}
	return formats.HashOf(all)
}

func TestDefaultScale(t *testing.T) {
	counts := conformance.Counts(person(t, 1, example.Scale{}))
	t.Logf("%+v", counts)
	within := func(what string, got, low, high int64) {
		if got < low || got > high {
			t.Errorf("%s: %d, want %d to %d", what, got, low, high)
		}
	}
	within("files", counts[formats.Files].Files, 280, 340)
	within("bytes", counts[formats.Files].Bytes, 8e6, 12e6)
	within("contacts", counts[formats.Contacts].Records, 63, 63)
	within("operations", counts[formats.Bank].Records, 500, 1000)
	within("readings", counts[formats.Energy].Records, 585, 585)
	for _, d := range formats.Datasets() {
		if counts[d].Records == 0 && d != formats.Consents {
			t.Errorf("the person has no %s", d)
		}
	}
}

func TestScale(t *testing.T) {
	counts := conformance.Counts(person(t, 1, example.Scale{Files: 2000, Bytes: 40e6, Months: 36, Contacts: 5}))
	if n := counts[formats.Files].Files; n < 1900 || n > 2100 {
		t.Errorf("%d files, want about 2000", n)
	}
	if n := counts[formats.Files].Bytes; n < 32e6 || n > 48e6 {
		t.Errorf("%d bytes, want about 40,000,000", n)
	}
	if n := counts[formats.Contacts].Records; n != 8 {
		t.Errorf("%d contacts, want 5 and 3 groups", n)
	}
	conformance.Read(t, example.Person(3, example.Scale{Files: 1, Bytes: 1, Months: 1, Contacts: 1}))
}

func TestNative(t *testing.T) {
	with, without := map[formats.Kind]bool{}, map[formats.Kind]bool{}
	for _, r := range person(t, 1, example.Scale{}) {
		if r.Native == nil {
			without[r.Kind] = true
			continue
		}
		with[r.Kind] = true
		if !strings.Contains(string(r.Native.Document), `"_id":"`+r.ID+`"`) {
			t.Errorf("%s: its native document has another _id: %s", r.ID, r.Native.Document)
		}
	}
	for k := range with {
		if without[k] {
			t.Errorf("some records of kind %s have a native document and some have none", k)
		}
	}
	if len(with) < 6 || len(without) < 6 {
		t.Errorf("%d kinds with a native document, %d without: want about half", len(with), len(without))
	}
}

// contents returns the bytes of every file whose record the test wants.
func contents(t *testing.T, want func(formats.Record) bool) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	for item, err := range example.Person(1, example.Scale{}).Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Content == nil || !want(item.Record) {
			continue
		}
		content, err := item.Content()
		if err != nil {
			t.Fatal(err)
		}
		if got[item.Record.Path], err = io.ReadAll(content); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestPhotos(t *testing.T) {
	photos := contents(t, func(r formats.Record) bool { return r.Blob.Type == "image/jpeg" })
	if len(photos) < 30 {
		t.Fatalf("%d photographs", len(photos))
	}
	for name, data := range photos {
		if img, err := jpeg.Decode(bytes.NewReader(data)); err != nil || img.Bounds().Dx() != 480 {
			t.Errorf("%s is no picture: %v", name, err)
		}
		if !bytes.HasPrefix(data[2:], []byte{0xff, 0xe1}) || string(data[6:16]) != "Exif\x00\x00II*\x00" {
			t.Errorf("%s has no EXIF segment: %q", name, data[:16])
		}
		if !bytes.Contains(data[:600], []byte("Camera Obscura II\x00")) || !bytes.Contains(data[:600], []byte("202")) {
			t.Errorf("%s does not say when and with what it was taken", name)
		}
	}
}

var (
	xrefLine  = regexp.MustCompile(`(?m)^(\d{10}) 00000 n $`)
	startxref = regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`)
)

func TestPDF(t *testing.T) {
	documents := contents(t, func(r formats.Record) bool { return r.Blob.Type == "application/pdf" })
	if len(documents) < 70 {
		t.Fatalf("%d documents", len(documents))
	}
	for name, data := range documents {
		var at int
		if m := startxref.FindSubmatch(data); m == nil || !scan(string(m[1]), &at) || !bytes.HasPrefix(data[at:], []byte("xref\n0 6\n")) {
			t.Fatalf("%s: its cross-reference table is not where it says", name)
		}
		for i, m := range xrefLine.FindAllSubmatch(data[at:], -1) {
			if !scan(string(m[1]), &at) || !bytes.HasPrefix(data[at:], fmt.Appendf(nil, "%d 0 obj\n", i+1)) {
				t.Errorf("%s: object %d is not at %d", name, i+1, at)
			}
		}
	}
}

func scan(s string, n *int) bool {
	_, err := fmt.Sscanf(s, "%d", n)
	return err == nil
}

func TestAccounts(t *testing.T) {
	accounts := 0
	for _, r := range person(t, 1, example.Scale{}) {
		if r.Kind != formats.KindAccount {
			continue
		}
		accounts++
		a, err := formats.BodyAs[formats.BankAccount](r)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(a.IBAN[4:], "99999") || len(a.IBAN) != 27 || mod97(a.IBAN[4:]+"1527"+a.IBAN[2:4]) != 1 || mod97(a.IBAN[4:]) != 0 {
			t.Errorf("IBAN %s is not valid, or of a real bank", a.IBAN)
		}
	}
	if accounts != 3 {
		t.Errorf("%d accounts", accounts)
	}
}

func mod97(digits string) int64 {
	n, _ := new(big.Int).SetString(digits, 10)
	return n.Mod(n, big.NewInt(97)).Int64()
}

// TestHealth checks that the refunds of a payment add up to it.
func TestHealth(t *testing.T) {
	paid, refunds := map[string]*big.Rat{}, map[string]*big.Rat{}
	for _, r := range person(t, 1, example.Scale{}) {
		switch {
		case r.Kind == formats.KindOperation:
			o, err := formats.BodyAs[formats.BankOperation](r)
			if err != nil {
				t.Fatal(err)
			}
			paid[r.ID] = o.TransactionAmount.Amount.Rat()
		case r.Dataset == formats.Health:
			b, err := formats.BodyAs[formats.Bill](r)
			if err != nil || !b.Refund || b.Amount.Amount.Rat().Sign() <= 0 {
				t.Fatalf("%s: %v %+v", r.ID, err, b)
			}
			id := r.Links[0].ID
			if refunds[id] == nil {
				refunds[id] = new(big.Rat)
			}
			refunds[id].Add(refunds[id], b.Amount.Amount.Rat())
		}
	}
	for id, sum := range refunds {
		if paid[id] == nil || paid[id].Cmp(sum) != 0 {
			t.Errorf("payment %s is of %v, its refunds add up to %v", id, paid[id], sum)
		}
	}
	if len(refunds) != 36 {
		t.Errorf("%d payments of insurers, want two a month", len(refunds))
	}
}

func TestFictional(t *testing.T) {
	phone, mail := regexp.MustCompile(`\+33 ?[0-9 ]{9,}`), regexp.MustCompile(`[\w.'-]+@[\w.-]+`)
	fiction := regexp.MustCompile(`^\+33 (1 99 00|6 39 98) \d\d \d\d$`)
	for _, r := range person(t, 1, example.Scale{}) {
		text := string(r.Body)
		for _, n := range phone.FindAllString(text, -1) {
			if !fiction.MatchString(n) {
				t.Errorf("%s: %q may be somebody's number", r.ID, n)
			}
		}
		for _, m := range mail.FindAllString(text, -1) {
			if !strings.HasSuffix(m, "@example.org") {
				t.Errorf("%s: %q may be somebody's address", r.ID, m)
			}
		}
	}
}

func TestNumbersSurvive(t *testing.T) {
	for _, r := range person(t, 1, example.Scale{}) {
		if r.Dataset != formats.Other {
			continue
		}
		for _, want := range []string{"9007199254740993", "1e21", "0.10", "-0.0", `\u00e9`} {
			if !strings.Contains(string(r.Body), want) {
				t.Errorf("%s is lost from %s", want, r.Body)
			}
		}
		return
	}
	t.Error("no other document")
}

func TestVault(t *testing.T) {
	cipher := regexp.MustCompile(`"2\.([^|"]+)\|([^|"]+)\|([^"]+)"`)
	n := 0
	for _, r := range person(t, 1, example.Scale{}) {
		if r.Dataset != formats.Passwords {
			continue
		}
		for _, m := range cipher.FindAllStringSubmatch(string(r.Native.Document), -1) {
			n++
			for i, size := range []int{16, 0, 32} {
				part, err := base64.StdEncoding.DecodeString(m[i+1])
				if err != nil || size > 0 && len(part) != size || len(part)%16 != 0 {
					t.Errorf("%s: part %d has %d bytes, %v", m[0], i, len(part), err)
				}
			}
		}
	}
	if n < 60 {
		t.Errorf("%d encrypted strings", n)
	}
}

func TestPosition(t *testing.T) {
	for _, err := range example.Person(1, example.Scale{}).Records(t.Context(), 1) {
		if !errors.Is(err, operators.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		return
	}
}

func TestWriteTree(t *testing.T) {
	opts := example.TreeOptions{Seed: 7, Files: 400}
	one, two := t.TempDir(), filepath.Join(t.TempDir(), "new")
	for _, dir := range []string{one, two} {
		if err := example.WriteTree(dir, opts); err != nil {
			t.Fatal(err)
		}
	}
	files, size, hashes := readTree(t, one)
	if _, _, other := readTree(t, two); fmt.Sprint(other) != fmt.Sprint(hashes) {
		t.Error("the same options give two different trees")
	}
	if files != 400 || size < 14e6 || size > 18e6 {
		t.Errorf("%d files of %d bytes, want 400 of 16,000,000", files, size)
	}
	count := map[string]int{}
	for _, h := range hashes {
		count[h]++
	}
	if duplicates := files - len(count); duplicates != 20 {
		t.Errorf("%d duplicates, want 20", duplicates)
	}
	if err := example.WriteTree(one, opts); err == nil {
		t.Error("wrote into a folder that is not empty")
	}
}

// readTree returns for each path the hash and time of what is there.
func readTree(t *testing.T, dir string) (files int, size int64, hashes map[string]string) {
	t.Helper()
	hashes = map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		files++
		size += int64(len(data))
		hashes[strings.TrimPrefix(name, dir)] = formats.HashOf(data).String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, size, hashes
}
