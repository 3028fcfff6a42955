package cozy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
)

func TestRichSource(t *testing.T) {
	path := rich(t).save(t, "rich.zip")
	conformance.Source(t, func(t *testing.T) operators.Source { return open(t, path) }, conformance.Expect{
		Counts: map[formats.Dataset]formats.Count{
			formats.Files: {Records: 6, Files: 4, Bytes: 6 + 4 + 5 + 3}, formats.Notes: {Records: 2, Files: 2, Bytes: 16 + 3072},
			formats.Photos: {Records: 1}, formats.Contacts: {Records: 2}, formats.Calendar: {Records: 1},
			formats.Bank: {Records: 2}, formats.Bills: {Records: 1}, formats.Health: {Records: 1},
			formats.Energy: {Records: 3}, formats.Places: {Records: 1}, formats.Passwords: {Records: 2},
			formats.Shares: {Records: 3}, formats.Settings: {Records: 4}, formats.Other: {Records: 4},
		},
	})
	d, err := open(t, path).Describe(t.Context())
	if err != nil || d.Owner != "Bob" || d.Locale != "fr" {
		t.Errorf("Describe gives %+v, %v", d, err)
	}
}

// TestBodies compares what the documents of the rich export say.
func TestBodies(t *testing.T) {
	records, _ := readAll(t, rich(t).save(t, "rich.zip"))
	for id, want := range map[string]string{
		"calendar/dentist":                   `{"@type":"Event","uid":"dentist","updated":"1970-01-01T00:00:00Z","title":"Dentiste","description":"molaire","start":"2024-03-12T08:00:00","duration":"PT30M","timeZone":"Etc/UTC"}`,
		"bank/io.cozy.bank.accounts/account": `{"iban":"FR7630006000","bban":"000123","currency":"EUR","name":"Courant","product":"Checkings","cashAccountType":"CACC","institution":"Banque","balances":[{"balanceAmount":{"currency":"EUR","amount":"0.10"},"balanceType":"interimBooked"}]}`,
		"bank/operation":                     `{"bookingDate":"2024-03-10","transactionAmount":{"currency":"EUR","amount":"-12.50"},"remittanceInformationUnstructured":"CB","category":"400110"}`,
		"bills/water":                        `{"issuer":"Eau","date":"2024-03-01","amount":{"currency":"EUR","amount":"31.40"}}`,
		"health/doctor":                      `{"issuer":"Mutuelle","date":"2024-03-02","amount":{"currency":"EUR","amount":"16.5"},"refund":true,"category":"health_costs","originalAmount":{"currency":"EUR","amount":"25"},"originalDate":"2024-02-20","groupAmount":{"currency":"EUR","amount":"33.0"},"thirdPartyPayer":true}`,
		"photos/album":                       `{"name":"Été"}`,
		"energy/com.grandlyon.enedis.minute/half-hour": `{"provider":"enedis","commodity":"electricity","unit":"kWh","start":"2024-03-01T00:30:00","interval":"PT30M","value":"0.250"}`,
		"energy/com.grandlyon.grdf.month/month":        `{"provider":"grdf","commodity":"gas","unit":"kWh","start":"2024-03-01T00:00:00","interval":"P1M","value":"100"}`,
		"energy/com.grandlyon.egl.year/year":           `{"provider":"egl","commodity":"water","unit":"L","start":"2024-01-01T00:00:00","interval":"P1Y","value":"41000"}`,
		"passwords/cipher":                             `{"type":"login","scheme":"bitwarden"}`,
		"passwords/com.bitwarden.folders/vaultfolder":  `{"type":"folder","scheme":"bitwarden"}`,
		"shares/io.cozy.sharings/sharing":              `{"type":"members","title":"Vacances","members":[{"name":"Bob","email":"b@example.org","status":"owner"}],"rules":[{"type":"io.cozy.files","values":["` + hexOf(1) + `"],"actions":["GET","POST"]}]}`,
		"other/org.example.unknown/thing-1":            `{"n":9007199254740993,"e":1e21,"cents":0.10}`,
		"notes/" + hexOf(12):                           `{"title":"Liste","markdown":"# Liste\n\n- lait\n","mediaType":"text/vnd.cozy.note+markdown","proseMirror":{"schema":{"nodes":[]},"content":{"type":"doc"},"version":3}}`,
		"notes/" + hexOf(13):                           `{"title":"Images","markdown":"![](picture.png)\n","mediaType":"text/vnd.cozy.note+markdown"}`,
		"files/" + hexOf(1):                            `{"tags":["a"],"favourite":true}`,
		"files/" + hexOf(10):                           `{"mediaType":"text/plain","tags":["été"],"checksums":{"md5":"4dabb4b39fbe6a3bfd2ce15ddbf7d08d"},"metadata":{"gps":{"lat":48.85,"long":2.290}}}`,
		"places/trip": `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"LineString","coordinates":[[2.2900000000000000001,48.85],[2.3,48.86]]},"properties":{}},` +
			`{"type":"Feature","geometry":{"type":"Point","coordinates":[2.29,48.85,35]},"properties":null}],"startDate":"2024-01-01T00:00:00","aggregation":{"totalCO2":1.5}}`,
	} {
		got := records[id].Body
		if strings.Contains(want, `"md5"`) {
			want = strings.Replace(want, "4dabb4b39fbe6a3bfd2ce15ddbf7d08d", fmt.Sprintf("%x", md5Of(objectOf(records[id].Native.Document))), 1)
		}
		if !sameJSON(got, []byte(want)) {
			t.Errorf("%s is\n%s\nwant\n%s", id, got, want)
		}
	}
}

func TestPathsAndLinks(t *testing.T) {
	records, _ := readAll(t, rich(t).save(t, "rich.zip"))
	for id, want := range map[string]string{
		"files/" + hexOf(1): "tree/Photos", "files/" + hexOf(2): "trash/Vieux", "files/" + hexOf(10): "tree/Photos/mer.txt",
		"files/" + hexOf(11): "tree/facture  \t.txt ", "files/" + hexOf(14): "trash/Vieux/jeté.txt",
		"files/io.cozy.files.versions/" + hexOf(10) + "/1-0123456789abcdef": "versions/" + hexOf(10) + "/1-0123456789abcdef",
		"other/io.cozy.files/" + rootID:                                     "",
	} {
		if r, ok := records[id]; !ok || r.Path != want {
			t.Errorf("%s is at %q, want %q", id, r.Path, want)
		}
	}
	links := fmt.Sprint(records["bank/operation"].Links, records["bills/water"].Links, records["files/"+hexOf(10)].Links, records["contacts/marie"].Links)
	want := "[{account bank io.cozy.bank.accounts/account} {bill bills water} {reimbursement health doctor}] [{document files " + hexOf(11) +
		"}] [{album photos album}] [{group contacts io.cozy.contacts.groups/family}]"
	if links != want {
		t.Errorf("the links are\n%s\nwant\n%s", links, want)
	}
}

// TestDefects reads every defect that an export is known to have, or that somebody may have put there: each is
// reported, and nothing else suffers.
func TestDefects(t *testing.T) {
	for _, test := range []struct {
		name    string
		build   func(*export)
		codes   []string
		lost    bool
		records string // "path=content" of files, "path" of others; sorted
	}{
		{"content missing", func(e *export) { e.meta(1, rootID, "a.txt", "gone", "") }, []string{"content-missing"}, true, "tree/a.txt tree/z=zed"},
		{"content missing at the end", func(e *export) { e.file(3, rootID, "b", "b", ""); e.meta(1, rootID, "a.txt", "gone", "") }, []string{"content-missing"}, true, "tree/a.txt tree/b=b tree/z=zed"},
		{"empty content missing", func(e *export) { e.meta(1, rootID, "a.txt", "", "") }, []string{"content-missing"}, false, "tree/a.txt= tree/z=zed"},
		{"wrong size", func(e *export) { e.meta(1, rootID, "a", "four", ""); e.raw(filesDir+"a", "fou") }, []string{"size-differs", "checksum-differs"}, false, "tree/a=fou tree/z=zed"},
		{"wrong checksum", func(e *export) { e.meta(1, rootID, "a", "four", ""); e.raw(filesDir+"a", "fore") }, []string{"checksum-differs"}, false, "tree/a=fore tree/z=zed"},
		{"no checksum", func(e *export) { e.file(1, rootID, "a", "four", `"md5sum":""`) }, []string{"checksum-missing"}, false, "tree/a=four tree/z=zed"},
		{"version without hash", func(e *export) {
			e.doc(doctypeVersions, hexOf(1)+"/1-a", `"size":"1"`)
			e.raw(filesDir+hexOf(1)+"/1-a", "v")
		}, []string{"checksum-missing"}, false, "tree/z=zed versions/" + hexOf(1) + "/1-a=v"},
		{"orphan", func(e *export) { e.file(1, hexOf(99), "x/a", "four", "") }, []string{"parent-missing"}, false, "tree/Lost and found/a=four tree/z=zed"},
		{"orphan in the trash", func(e *export) { e.file(1, hexOf(99), ".cozy_trash/x/a", "four", `"trashed":true`) }, []string{"parent-missing"}, false, "trash/a=four tree/z=zed"},
		{"orphan folder", func(e *export) {
			e.doc(doctypeFiles, hexOf(1), `"type":"directory","name":"b","dir_id":"gone","path":"/a/b"`)
		}, []string{"parent-missing"}, false, "tree/a/b tree/z=zed"},
		{"folders in a circle", func(e *export) {
			e.doc(doctypeFiles, hexOf(1), `"type":"directory","name":"a","dir_id":"`+hexOf(2)+`"`)
			e.doc(doctypeFiles, hexOf(2), `"type":"directory","name":"b","dir_id":"`+hexOf(1)+`"`)
		}, []string{"parent-missing"}, false, "tree/Lost and found/a tree/Lost and found/a/b tree/z=zed"},
		{"same path twice", func(e *export) { e.file(1, rootID, "a.txt", "1", ""); e.file(2, rootID, "a.txt", "2", "") }, []string{"duplicate-path"}, false, "tree/a (2).txt=2 tree/a.txt=1 tree/z=zed"},
		{"file named as a folder", func(e *export) { e.dir(1, "/a"); e.file(2, rootID, "a", "2", "") }, []string{"duplicate-path"}, false, "tree/a tree/a (2)=2 tree/z=zed"},
		{"same id twice", func(e *export) { e.file(1, rootID, "a", "1", ""); e.file(1, rootID, "b", "2", "") }, []string{"duplicate"}, true, "tree/a=1 tree/z=zed"},
		{"same document twice", func(e *export) { e.file(1, rootID, "a", "1", ""); e.file(1, rootID, "a", "1", "") }, []string{"duplicate"}, false, "tree/a=1 tree/z=zed"},
		{"names", func(e *export) {
			e.file(1, rootID, "..", "1", "")
			e.meta(2, rootID, "x/y", "2", "")
			e.raw(filesDir+"x/y", "2")
		}, []string{"name", "name"}, false, "tree/__=1 tree/x_y=2 tree/z=zed"},
		{"invalid JSON", func(e *export) { e.raw(dataDir+"io.cozy.contacts/abcd.json", `{"_id":`) }, []string{"invalid-json"}, true, "tree/z=zed"},
		{"not UTF-8", func(e *export) { e.raw(dataDir+"io.cozy.contacts/abcd.json", "{\"_id\":\"a\xff\"}") }, []string{"invalid-json"}, true, "tree/z=zed"},
		{"empty document", func(e *export) { e.raw(dataDir+"io.cozy.contacts/abcd.json", "") }, []string{"invalid-json"}, true, "tree/z=zed"},
		{"an array", func(e *export) { e.raw(dataDir+"io.cozy.contacts/abcd.json", "[]") }, []string{"invalid-json"}, true, "tree/z=zed"},
		{"invalid JSON of a file", func(e *export) { e.file(1, rootID, "a", "1", `"x":`) }, []string{"invalid-json"}, true, "tree/z=zed"},
		{"no id", func(e *export) { e.raw(dataDir+"org.example/abcd.json", `{}`) }, []string{"no-id"}, false, "tree/z=zed"},
		{"unknown entry", func(e *export) { e.raw("../../etc/passwd", "root") }, []string{"unknown-entry"}, true, "tree/z=zed"},
		{"content without document", func(e *export) { e.raw(filesDir+"../../x", "x") }, []string{"content-without-document"}, true, "tree/z=zed"},
		{"bomb", func(e *export) { e.raw(dataDir+"org.example/abcd.json", `{"a":"`+strings.Repeat("a", 4<<20)+`"}`) }, []string{"unreadable"}, true, "tree/z=zed"},
		{"encrypted", func(e *export) {
			e.file(1, rootID, "a", "1", "")
			e.entries[len(e.entries)-1].flags = 1
		}, []string{"content-corrupt"}, true, "tree/a tree/z=zed"},
		{"deep JSON", func(e *export) {
			e.doc("org.example", "abcd", `"a":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000))
		}, []string{"invalid-json"}, true, "tree/z=zed"},
		{"bill without amount", func(e *export) { e.doc(doctypeBills, "bill", `"date":"2024-01-01"`) }, []string{"not-understood"}, false, "tree/z=zed"},
		{"positions the wrong way round", func(e *export) {
			e.doc(doctypeTrips, "trip", `"series":[{"type":"Feature","geometry":{"type":"Point","coordinates":[48.85,102.29]},"properties":{}}]`)
		}, []string{"coordinates-swapped"}, false, "tree/z=zed"},
		{"positions nowhere", func(e *export) {
			e.doc(doctypeTrips, "trip", `"series":[{"type":"Feature","geometry":{"type":"Point","coordinates":[181,102]},"properties":{}}]`)
		}, []string{"not-understood"}, false, "tree/z=zed"},
		{"note that is no text", func(e *export) { e.file(1, rootID, "a.cozy-note", "\xff", `"mime":"text/vnd.cozy.note+markdown"`) }, []string{"note-text"}, false, "tree/a.cozy-note=\xff tree/z=zed"},
		{"long id", func(e *export) { e.doc("org.example", strings.Repeat("i", 600), "") }, nil, false, "tree/z=zed"},
		{"folders of a zip packed again", func(e *export) { e.raw(filesDir, ""); e.raw(filesDir+"x/", "") }, nil, false, "tree/z=zed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newExport()
			test.build(e)
			e.file(900, rootID, "z", "zed", "")
			checkDefect(t, e.save(t, "part.zip"), test.codes, test.lost, test.records)
		})
	}
}

func checkDefect(t *testing.T, path string, codes []string, isLost bool, want string) {
	t.Helper()
	_, instance := readAll(t, path)
	var got, places []string
	for _, o := range instance.Omissions {
		got = append(got, o.Code)
		if o.Lost != isLost {
			t.Errorf("%s says lost %v: %s", o.Code, o.Lost, o.Reason)
		}
	}
	if !slices.Equal(got, codes) {
		t.Errorf("the omissions are %q, want %q: %+v", got, codes, instance.Omissions)
	}
	for _, r := range instance.Records {
		switch {
		case r.Blob != nil:
			places = append(places, r.Path+"="+contentOf(t, path, r))
		case r.Path != "":
			places = append(places, r.Path)
		}
	}
	slices.Sort(places)
	if got := strings.Join(places, " "); got != want {
		t.Errorf("the records are %q, want %q", got, want)
	}
}

func contentOf(t *testing.T, path string, r formats.Record) string {
	t.Helper()
	for item, err := range open(t, path).Records(t.Context(), 0) {
		if err == nil && item.Record.ID == r.ID && item.Content != nil {
			content, err := item.Content()
			if err != nil {
				t.Fatal(err)
			}
			var buf bytes.Buffer
			if _, err := buf.ReadFrom(content); err != nil {
				t.Fatal(err)
			}
			return buf.String()
		}
	}
	return "?"
}

// TestCorruptContent flips a bit in the packed bytes of a file.
func TestCorruptContent(t *testing.T) {
	e := newExport()
	e.file(1, rootID, "a.txt", strings.Repeat("some text of the file ", 40), "")
	e.file(2, rootID, "b.txt", "whole", "")
	packed := e.zip(t)
	at := bytes.Index(packed, []byte(filesDir+"a.txt")) + len(filesDir+"a.txt") + 8
	packed[at] ^= 0x10
	path := filepath.Join(t.TempDir(), "part.zip")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	checkDefect(t, path, []string{"content-corrupt"}, true, "tree/a.txt tree/b.txt=whole")
}

// TestTruncated cuts a part short: it is refused before anything is read.
func TestTruncated(t *testing.T) {
	packed := rich(t).zip(t)
	for _, n := range []int{0, 1, 100, len(packed) / 2, len(packed) - 1} {
		path := filepath.Join(t.TempDir(), "part.zip")
		if err := os.WriteFile(path, packed[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "part.zip") {
			t.Errorf("%d of %d bytes: %v", n, len(packed), err)
		}
	}
}

// TestLyingSizes changes what the directory of a zip says about the size of a document.
func TestLyingSizes(t *testing.T) {
	e := newExport()
	e.doc("org.example", "abcd", `"a":1`)
	packed := e.zip(t)
	name := []byte(dataDir + "org.example/abcd.json")
	at := bytes.LastIndex(packed, name) - 46
	for _, size := range []uint32{0, 1, 1 << 20, 1<<32 - 2} {
		binary.LittleEndian.PutUint32(packed[at+24:], size)
		path := filepath.Join(t.TempDir(), "part.zip")
		if err := os.WriteFile(path, packed, 0o600); err != nil {
			t.Fatal(err)
		}
		checkDefect(t, path, []string{"unreadable"}, true, "")
	}
}

// TestPackedAgain reads a zip whose entries somebody sorted.
func TestPackedAgain(t *testing.T) {
	e := rich(t)
	slices.SortFunc(e.entries, func(a, b zipEntry) int { return strings.Compare(a.name, b.name) })
	_, sorted := readAll(t, e.save(t, "sorted.zip"))
	_, plain := readAll(t, rich(t).save(t, "plain.zip"))
	if got, want := conformance.Lines(t, sorted.Records), conformance.Lines(t, plain.Records); len(sorted.Omissions) > 0 || len(got) != len(want) {
		t.Errorf("%d records, want %d: %+v", len(got), len(want), sorted.Omissions)
	} else {
		for id := range want {
			if got[id] != want[id] {
				t.Errorf("%s is\n%s\nwant\n%s", id, got[id], want[id])
			}
		}
	}
}

// TestSecrets checks that no secret that can be read leaves a Cozy, and that encrypted ones do.
func TestSecrets(t *testing.T) {
	e := newExport()
	e.doc(doctypeLogins, "login", `"auth":{"login":"bob","password":"s3cret-1","credentials_encrypted":"kept-1","Access_Token":"s3cret-2","token":{"a":"s3cret-3"}},`+
		`"oauth":{"refresh_token":"s3cret-4","token_type":"bearer","list":[{"client_secret":"s3cret-5"}]},"data":{"auth":{"passphrase":"s3cret-6"}},"twoFACode":"s3cret-7","password_defined":true,"secret":null`)
	_, instance := readAll(t, e.save(t, "part.zip"))
	line := conformance.Lines(t, instance.Records)["other/io.cozy.accounts/login"]
	if strings.Contains(line, "s3cret") || !strings.Contains(line, "kept-1") || !strings.Contains(line, `"token_type":"bearer"`) || !strings.Contains(line, "password_defined") {
		t.Errorf("the account is %s", line)
	}
	if len(instance.Omissions) != 1 || instance.Omissions[0].Code != "secret" || strings.Contains(instance.Omissions[0].Reason, "s3cret") {
		t.Errorf("the omissions are %+v", instance.Omissions)
	}
}

// threeParts cuts an export of two files and a version into three parts.
func threeParts(t *testing.T) (paths []string, manifest func(cursors ...string) string) {
	first, second, third := newExport(), &export{}, &export{}
	dir := first.dir(1, "/Dir")
	first.file(10, dir, "Dir/a", "a", "")
	second.file(11, dir, "Dir/b", "b", "")
	third.doc(doctypeVersions, hexOf(10)+"/1-a", `"size":"1","md5sum":"`+md5Text("v")+`"`)
	third.raw(filesDir+hexOf(10)+"/1-a", "v")
	manifest = func(cursors ...string) string {
		path := filepath.Join(t.TempDir(), "manifest.json")
		text := fmt.Sprintf(`{"data":{"type":"io.cozy.exports","id":"x","attributes":{"domain":"bob.example.net","parts_cursors":["%s"],"state":"done"}}}`, strings.Join(cursors, `","`))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return []string{first.save(t, "p0.zip"), second.save(t, "p1.zip"), third.save(t, "p2.zip")}, manifest
}

func TestParts(t *testing.T) {
	p, manifest := threeParts(t)
	full := manifest(doctypeFiles+"/"+hexOf(11), doctypeVersions+"/"+hexOf(10)+"/1-a")
	for _, paths := range [][]string{{p[0], p[1], p[2]}, {p[2], p[0], p[1]}, {p[1], full, p[2], p[0]}} {
		_, instance := readAll(t, paths...)
		if c := conformance.Counts(instance.Records)[formats.Files]; c.Files != 3 || len(instance.Omissions) > 0 {
			t.Errorf("%d files, want 3: %+v", c.Files, instance.Omissions)
		}
	}
	stranger := newExport()
	stranger.file(77, rootID, "x", "x", "")
	alien := &export{}
	alien.file(78, hexOf(5), "y", "y", "")
	for name, test := range map[string]struct {
		paths []string
		says  string
	}{
		"none":                   {nil, "first part"},
		"no first part":          {[]string{p[1], p[2]}, "first part"},
		"a part of the manifest": {[]string{full, p[0], p[1]}, "part 2 (which begins with io.cozy.files.versions/" + hexOf(10) + "/1-a) is missing"},
		"one too many":           {[]string{manifest(doctypeFiles + "/" + hexOf(11)), p[0], p[1], p[2]}, "does not list p2.zip"},
		"the first part twice":   {[]string{p[0], p[0]}, "each once"},
		"a later part twice":     {[]string{p[0], p[1], p[1]}, "each part once"},
		"another first part":     {[]string{p[0], stranger.save(t, "other.zip")}, "other.zip"},
		"another's later part":   {[]string{p[0], alien.save(t, "alien.zip")}, "alien.zip is a part of another export"},
		"not a zip":              {[]string{p[0], "source_test.go"}, "source_test.go is not a whole zip file"},
	} {
		if _, err := Open(test.paths...); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want something about %q", name, err, test.says)
		}
	}
}
