package vcard

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/passerelle-cloud/passerelle/formats"
)

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func decodeText(t fataler, text string) []formats.Record {
	t.Helper()
	records, err := decodeAll(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return records
}

func decodeAll(in io.Reader) (list []formats.Record, err error) {
	for r, err := range Codec().Decode(in) {
		if err != nil {
			return list, err
		}
		list = append(list, r)
	}
	return list, nil
}

func encodeText(t fataler, records ...formats.Record) string {
	t.Helper()
	var out bytes.Buffer
	err := Codec().Encode(&out, func(yield func(formats.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return out.String()
}

// canonical is JSON with its members in order and its digits as they are.
func canonical(t fataler, text json.RawMessage) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(out)
}

func crlf(text ...string) string { return strings.Join(text, "\r\n") + "\r\n" }

// TestDecode reads cards as programs write them, and looks for what they say.
func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string // of the body, in canonical JSON
	}{
		"4.0": {
			crlf("BEGIN:VCARD", "VERSION:4.0", "UID:urn:uuid:1", "FN:Zoé Martin", "N:Martin;Zoé;;;", "EMAIL;TYPE=work;PREF=1:zoe@example.org",
				"TEL;VALUE=uri;TYPE=\"cell,voice\":tel:+33-1-99-00-00-01", "BDAY:19850412", "CATEGORIES:amis,voile", "NOTE:une\\nligne\\, deux\\; trois", "END:VCARD"),
			[]string{`"uid":"urn:uuid:1"`, `"full":"Zoé Martin"`, `"kind":"surname","value":"Martin"`, `"address":"zoe@example.org"`, `"pref":1`,
				`"number":"tel:+33-1-99-00-00-01"`, `"mobile":true`, `"year":1985`, `"month":4`, `"day":12`, `"amis":true`, `"voile":true`, `une\nligne, deux; trois`},
		},
		"3.0": {
			crlf("BEGIN:VCARD", "VERSION:3.0", "FN:John Doe", "N:Doe;John;;Mr;", "ORG:Acme;Sales", "TITLE:Boss", "ADR;TYPE=home:;;1 rue X;Paris;;75001;France",
				"item1.URL:https://example.org", "item1.X-ABLabel:_$!<HomePage>!$_", "X-CUSTOM;FOO=bar:kept", "END:VCARD"),
			[]string{`"full":"John Doe"`, `"name":"Acme"`, `"name":"Sales"`, `"name":"Boss"`, `"value":"Paris"`, `"value":"75001"`, `https://example.org`, `x-custom`, `kept`},
		},
		"2.1": {
			crlf("BEGIN:VCARD", "VERSION:2.1", "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=C3=89milie;L=", "=C3=A9a", "TEL;CELL:0199000002", "END:VCARD"),
			[]string{`"Émilie"`, `"Léa"`, `0199000002`, `"mobile":true`},
		},
		"folded, with bare line feeds": {
			"BEGIN:VCARD\nVERSION:4.0\nFN:Ab\n c\nNOTE:é\n è\nEND:VCARD\n",
			[]string{`"full":"Abc"`, `"éè"`},
		},
		"no year": {
			crlf("BEGIN:VCARD", "VERSION:4.0", "FN:X", "BDAY:--0412", "END:VCARD"),
			[]string{`"day":4`, `"month":12`},
		},
		"photo inside": {
			crlf("BEGIN:VCARD", "VERSION:3.0", "FN:X", "PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ", "END:VCARD"),
			[]string{`data:image/jpeg;base64,/9j/4AAQ`, `"kind":"photo"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			records := decodeText(t, c.text)
			if len(records) != 1 {
				t.Fatalf("%d records, want one", len(records))
			}
			r := records[0]
			if err := errors.Join(r.Validate(), formats.CheckBody(r.Kind, r.Body)); err != nil {
				t.Error(err)
			}
			body := canonical(t, r.Body)
			for _, want := range c.says {
				if name == "no year" {
					want = strings.NewReplacer(`"day":4`, `"month":4`, `"month":12`, `"day":12`).Replace(want)
				}
				if !strings.Contains(body, want) {
					t.Errorf("the body does not say %s:\n%s", want, body)
				}
			}
			if back := decodeText(t, encodeText(t, r)); canonical(t, back[0].Body) != body || back[0].ID != r.ID {
				t.Errorf("written and read again it is %s\n%s\nwas %s\n%s", back[0].ID, canonical(t, back[0].Body), r.ID, body)
			}
		})
	}
}

// TestGroups reads members of groups as links, and writes links as members.
func TestGroups(t *testing.T) {
	text := crlf("BEGIN:VCARD", "VERSION:4.0", "UID:a", "FN:A", "END:VCARD",
		"BEGIN:VCARD", "VERSION:4.0", "UID:g", "KIND:group", "FN:Amis", "MEMBER:a", "MEMBER:urn:uuid:elsewhere", "END:VCARD")
	records := decodeText(t, text)
	if len(records) != 2 || !slices.Equal(records[0].Links, []formats.Link{{Rel: "group", Dataset: formats.Contacts, ID: "g"}}) {
		t.Fatalf("%+v", records)
	}
	written := encodeText(t, records...)
	if !strings.Contains(written, "MEMBER:urn:uuid:elsewhere") {
		t.Errorf("a member whose card is not there is gone:\n%s", written)
	}
	again := decodeText(t, written)
	if !slices.Equal(again[0].Links, records[0].Links) {
		t.Errorf("links %+v", again[0].Links)
	}
}

// TestIDs are kept, whatever they are.
func TestIDs(t *testing.T) {
	var records []formats.Record
	for _, id := range []string{"a", "a#2", strings.Repeat("x", 512), strings.Repeat("é", 256), "with: colon; and, comma", "\U0001F98A"} {
		records = append(records, formats.Record{ID: id, Dataset: formats.Contacts, Kind: formats.KindCard, Body: []byte(`{"@type":"Card","version":"1.0","name":{"full":"X"}}`)})
	}
	for i, r := range decodeText(t, encodeText(t, records...)) {
		if r.ID != records[i].ID {
			t.Errorf("%.40q… came back as %.40q… (%d bytes)", records[i].ID, r.ID, len(r.ID))
		}
	}
	twins := decodeText(t, strings.Repeat(crlf("BEGIN:VCARD", "VERSION:4.0", "UID:same", "FN:A", "END:VCARD"), 3))
	if len(twins) != 3 || twins[0].ID != "same" || twins[1].ID == twins[0].ID || twins[2].ID == twins[1].ID {
		t.Errorf("three cards with one UID are %q, %q, %q", twins[0].ID, twins[1].ID, twins[2].ID)
	}
}

// TestSamples reads what other programs wrote, and writes it again without loss.
func TestSamples(t *testing.T) {
	root := os.Getenv("PASSERELLE_SAMPLES")
	if root == "" {
		t.Skip("PASSERELLE_SAMPLES is not set: no cards of other programs to read")
	}
	files, err := filepath.Glob(filepath.Join(root, "contacts", "*.vcf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		records := decodeText(t, string(text))
		if want := strings.Count(strings.ToUpper(string(text)), "BEGIN:VCARD"); len(records) != want {
			t.Errorf("%s: %d records of %d cards", filepath.Base(name), len(records), want)
		}
		again := decodeText(t, encodeText(t, records...))
		for i, r := range records {
			if err := errors.Join(r.Validate(), formats.CheckBody(r.Kind, r.Body)); err != nil {
				t.Errorf("%s: %v", filepath.Base(name), err)
			}
			if got, want := canonical(t, again[i].Body), canonical(t, r.Body); got != want || again[i].ID != r.ID {
				t.Errorf("%s: card %d came back as\n%s\nwas\n%s", filepath.Base(name), i, got, want)
			}
		}
	}
}

// TestHostile reads what is no card, or too much of one.
func TestHostile(t *testing.T) {
	for name, text := range map[string]string{
		"cut off":          "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:X\r\n",
		"not a card":       "PK\x03\x04 something else",
		"an endless line":  "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:" + strings.Repeat("x", 200<<20) + "\r\nEND:VCARD\r\n",
		"a card in a card": "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:X\r\nBEGIN:VCARD\r\nFN:Y\r\nEND:VCARD\r\nEND:VCARD\r\n",
	} {
		records, err := decodeAll(strings.NewReader(text))
		if name == "a card in a card" && err == nil {
			continue // old programs put the card of an agent inside
		}
		if !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
	}
	if records, err := decodeAll(strings.NewReader("")); err != nil || len(records) != 0 {
		t.Errorf("nothing: %d records, %v", len(records), err)
	}
	broken := io.MultiReader(strings.NewReader(crlf("BEGIN:VCARD", "VERSION:4.0")), iotest.ErrReader(os.ErrDeadlineExceeded))
	if _, err := decodeAll(broken); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a reader that breaks: %v", err)
	}
	for r := range Codec().Decode(strings.NewReader(crlf("BEGIN:VCARD", "VERSION:4.0", "FN:a\x00b", "NOTE:\xff\xfe", "END:VCARD"))) {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(crlf("BEGIN:VCARD", "VERSION:4.0", "UID:urn:uuid:1", "FN:Zoé", "N:Martin;Zoé;;;", "EMAIL;TYPE=work;PREF=1:z@example.org", "BDAY:19850412", "END:VCARD"))
	f.Add(crlf("BEGIN:VCARD", "VERSION:3.0", "FN:X", "item1.URL:https://example.org", "item1.X-ABLabel:L", "PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ", "END:VCARD"))
	f.Add(crlf("BEGIN:VCARD", "VERSION:2.1", "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=C3=89;L=", "=C3=A9", "TEL;CELL:0", "END:VCARD"))
	f.Add(crlf("BEGIN:VCARD", "VERSION:4.0", "KIND:group", "MEMBER:a", "JSPROP;JSPTR=\"a\":1", "END:VCARD"))
	f.Fuzz(func(t *testing.T, text string) {
		records, err := decodeAll(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, r := range records {
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
		}
		back := decodeText(t, encodeText(t, records...))
		if len(back) != len(records) {
			t.Fatalf("%d records of %d came back", len(back), len(records))
		}
		for i, r := range records {
			if got, want := canonical(t, back[i].Body), canonical(t, r.Body); got != want {
				t.Fatalf("%s\nwas\n%s", got, want)
			}
		}
	})
}
