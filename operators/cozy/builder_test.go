package cozy

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
)

// zipEntry is one entry of a part that a test builds.
type zipEntry struct {
	name, text string
	flags      uint16
}

// export builds the parts of an export, entry by entry.
type export struct{ entries []zipEntry }

// newExport begins a first part as a Cozy does.
func newExport() *export {
	e := &export{}
	e.raw(instanceEntry, `{"_id":"5f0c2d00000000000000000000000001","_rev":"1-a","domain":"bob.example.net","locale":"fr"}`)
	e.doc(doctypeFiles, rootID, `"type":"directory","path":"/"`)
	e.doc(doctypeFiles, trashID, `"type":"directory","path":"/.cozy_trash","name":".cozy_trash","dir_id":"io.cozy.files.root-dir"`)
	return e
}

func (e *export) raw(name, text string) {
	e.entries = append(e.entries, zipEntry{name: name, text: text})
}

func (e *export) doc(doctype, id, members string) {
	if members != "" {
		members = "," + members
	}
	e.raw(dataDir+doctype+"/"+id+".json", fmt.Sprintf(`{"_id":%q,"_rev":"3-abc"%s}`, id, members))
}

func (e *export) dir(n int, path string) string {
	parent, name := path[:strings.LastIndex(path, "/")], path[strings.LastIndex(path, "/")+1:]
	id := hexOf(n)
	e.doc(doctypeFiles, id, fmt.Sprintf(`"type":"directory","name":%q,"dir_id":%q,"path":%q,"created_at":"2020-01-01T00:00:00.123456789Z","updated_at":"2020-01-02T00:00:00Z"`,
		name, parentID(parent), path))
	return id
}

func parentID(path string) string {
	if path == "/"+trashName {
		return trashID
	}
	return rootID
}

func hexOf(n int) string { return fmt.Sprintf("%032x", n) }

func md5Text(content string) string {
	sum := md5.Sum([]byte(content))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// meta adds the document of a file, and nothing else.
func (e *export) meta(n int, dir, name, content, members string) {
	if members != "" {
		members = "," + members
	}
	e.doc(doctypeFiles, hexOf(n), fmt.Sprintf(`"type":"file","name":%q,"dir_id":%q,"created_at":"2020-01-01T00:00:00Z","updated_at":"2020-01-03T00:00:00Z",`+
		`"size":"%d","md5sum":%q,"mime":"text/plain","class":"text","executable":false,"trashed":false,"encrypted":false%s`,
		name, dir, len(content), md5Text(content), members))
}

// file adds a file: its document, then its bytes.
func (e *export) file(n int, dir, path, content, members string) {
	e.meta(n, dir, path[strings.LastIndex(path, "/")+1:], content, members)
	e.raw(filesDir+path, content)
}

// save writes the zip and returns its path.
func (e *export) save(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, e.zip(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (e *export) zip(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, entry := range e.entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: entry.name, Method: zip.Deflate, Flags: entry.flags})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(entry.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// readAll opens the parts and returns everything, records by "dataset/id".
func readAll(t *testing.T, paths ...string) (map[string]formats.Record, conformance.Instance) {
	t.Helper()
	source := open(t, paths...)
	defer source.Close()
	instance := conformance.Read(t, source)
	records := map[string]formats.Record{}
	for _, r := range instance.Records {
		records[string(r.Dataset)+"/"+r.ID] = r
	}
	return records, instance
}

func tarOf(t testing.TB, files map[string]string) string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range []string{"picture.png", "index.md"} {
		if content, ok := files[name]; ok {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// rich builds an export with a document of every doctype that the package knows.
func rich(t testing.TB) *export {
	e := newExport()
	photos := hexOf(1)
	e.doc(doctypeContacts, "marie", `"fullname":"Marie Dupont","name":{"givenName":"Marie","familyName":"Dupont"},"email":[{"address":"m@example.org","type":"work","primary":true}],`+
		`"phone":[{"number":"+33 6","type":"cell"}],"birthday":"1959-05-15","unknown":{"n":9007199254740993},"note":"a \u00e9","relationships":{"groups":{"data":[{"_id":"family","_type":"io.cozy.contacts.groups"}]}}`)
	e.doc(doctypeGroups, "family", `"name":"Famille"`)
	e.doc(doctypeEvents, "dentist", `"start":"2024-03-12T09:00:00+01:00","end":"2024-03-12T09:30:00+01:00","label":"Dentiste","description":"molaire"`)
	e.doc(doctypeAccounts, "account", `"label":"Courant","institutionLabel":"Banque","balance":0.10,"type":"Checkings","number":"000123","iban":"FR76 3000 6000"`)
	e.doc(doctypeOperations, "operation", `"label":"CB","amount":-12.50,"currency":"EUR","date":"2024-03-09T23:00:00.000Z","account":"account","bills":["io.cozy.bills:water"],`+
		`"reimbursements":[{"billId":"io.cozy.bills:doctor","amount":16.5}],"manualCategoryId":"400110"`)
	e.doc(doctypeBills, "water", `"vendor":"Eau","amount":31.40,"currency":"EUR","date":"2024-03-01T12:00:00.000Z","invoice":"io.cozy.files:`+hexOf(11)+`"`)
	e.doc(doctypeBills, "doctor", `"type":"health_costs","vendor":"Mutuelle","amount":16.5,"originalAmount":25,"groupAmount":33.0,"isThirdPartyPayer":true,"isRefund":true,"date":"2024-03-02T12:00:00.000Z","originalDate":"2024-02-20"`)
	e.doc(doctypeAlbums, "album", `"name":"Été","auto":false,"created_at":"2024-01-01T00:00:00Z"`)
	e.doc(doctypeTrips, "trip", `"startDate":"2024-01-01T00:00:00","series":[{"type":"FeatureCollection","properties":{"a":1},"features":[`+
		`{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"LineString","coordinates":[[2.2900000000000000001,48.85],[2.3,48.86]]},"properties":{}}]},`+
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[2.29,48.85,35]}}]}],"aggregation":{"totalCO2":1.5}`)
	e.doc("com.grandlyon.enedis.minute", "half-hour", `"load":0.250,"year":2024,"month":3,"day":1,"hour":0,"minute":30`)
	e.doc("com.grandlyon.grdf.month", "month", `"load":1e2,"year":2024,"month":3,"day":0,"hour":0,"minute":0`)
	e.doc("com.grandlyon.egl.year", "year", `"load":41000,"year":2024`)
	e.doc(doctypeCiphers, "cipher", `"type":1,"name":"2.AA|BB|CC"`)
	e.doc("com.bitwarden.folders", "vaultfolder", `"name":"2.AA|BB|CC"`)
	e.doc(doctypePermits, "permission", `"type":"share","permissions":{"files":{"type":"io.cozy.files","verbs":["GET"],"values":["`+photos+`"]}},"codes":{"link":"abc"}`)
	e.doc(doctypeSharings, "sharing", `"description":"Vacances","members":[{"status":"owner","name":"Bob","email":"b@example.org"}],"rules":[{"title":"t","doctype":"io.cozy.files","values":["`+photos+`"],"add":"sync"}]`)
	e.doc(doctypeShared, "io.cozy.files/"+photos, `"infos":{}`)
	e.doc(doctypeSettings, instanceID, `"public_name":"Bob","email":"bob@example.org"`)
	e.doc("io.cozy.identities", "identity", `"contact":{"fullname":"Bob"}`)
	e.doc("io.cozy.bank.settings", "configuration", `"notifications":{}`)
	e.doc("io.cozy.triggers", "trigger", `"worker":"konnector"`)
	e.doc("org.example.unknown", "thing-1", `"n":9007199254740993,"e":1e21,"cents":0.10`)
	e.dir(1, "/Photos")
	e.entries[len(e.entries)-1].text = strings.Replace(e.entries[len(e.entries)-1].text, `"path"`, `"cozyMetadata":{"favorite":true},"tags":["a"],"path"`, 1)
	e.dir(2, "/.cozy_trash/Vieux")
	e.file(10, photos, "Photos/mer.txt", "la mer", `"referenced_by":[{"id":"album","type":"io.cozy.photos.albums"},{"id":"io.cozy.apps/drive","type":"io.cozy.apps"}],"tags":["été"],"metadata":{"gps":{"lat":48.85,"long":2.290}}`)
	e.file(11, rootID, "facture  \t.txt ", "%PDF", `"executable":true`)
	e.file(12, rootID, "Liste.cozy-note", "# Liste\n\n- lait\n", `"mime":"text/vnd.cozy.note+markdown","metadata":{"title":"Liste","version":3,"schema":{"nodes":[]},"content":{"type":"doc"}}`)
	e.file(13, rootID, "Images.cozy-note", tarOf(t, map[string]string{"picture.png": "PNG", "index.md": "![](picture.png)\n"}), `"mime":"text/vnd.cozy.note+markdown","metadata":{"title":"Images"}`)
	e.file(14, hexOf(2), ".cozy_trash/Vieux/jeté.txt", "jeté", `"trashed":true`)
	version := hexOf(10) + "/1-0123456789abcdef"
	e.doc(doctypeVersions, version, `"size":"3","md5sum":"`+md5Text("mer")+`","updated_at":"2019-01-01T00:00:00Z","tags":null,"relationships":{"file":{"data":{"_id":"`+hexOf(10)+`","_type":"io.cozy.files"}}}`)
	e.raw(filesDir+version, "mer")
	return e
}
