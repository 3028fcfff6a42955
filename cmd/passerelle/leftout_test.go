package main

import (
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/archive"
)

// TestWhatIsLeftOutIsSaid reports of an archive that its recipient alone can make use of.
func TestWhatIsLeftOutIsSaid(t *testing.T) {
	expires := time.Now()
	claims := archive.Claims{Recipient: &archive.Party{ID: "b.example"}, Expires: &expires, LeftOut: &archive.LeftOut{Blobs: 3, Bytes: 2_000_000}}
	var out strings.Builder
	sayReport(&out, "a.zip", &archive.Report{Intact: true, Claims: &claims})
	if want := "the bytes of 3 different files (2.0 MB) are not in it, because b.example, for which it was made, had them."; !strings.Contains(out.String(), want) {
		t.Errorf("%s", &out)
	}
	claims.LeftOut = nil
	out.Reset()
	sayReport(&out, "a.zip", &archive.Report{Intact: true, Claims: &claims})
	if strings.Contains(out.String(), "not whole") {
		t.Errorf("%s", &out)
	}
}
