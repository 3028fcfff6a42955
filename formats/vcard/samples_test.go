package vcard

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
)

func TestDump(t *testing.T) {
	dir := os.Getenv("PASSERELLE_SAMPLES")
	files, _ := filepath.Glob(filepath.Join(dir, "contacts", "*.vcf"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		t.Log("=====", filepath.Base(f))
		var rs []formats.Record
		for r, err := range Codec().Decode(bytes.NewReader(b)) {
			if err != nil {
				t.Error(err)
				break
			}
			rs = append(rs, r)
			s := string(r.Body)
			if len(s) > 6000 {
				s = s[:6000]
			}
			t.Log(r.ID, s)
		}
		var out bytes.Buffer
		if err := Codec().Encode(&out, func(y func(formats.Record, error) bool) {
			for _, r := range rs {
				if !y(r, nil) {
					return
				}
			}
		}); err != nil {
			t.Error(err)
		}
		s := out.String()
		if len(s) > 5000 {
			s = s[:5000]
		}
		t.Log(s)
	}
}
