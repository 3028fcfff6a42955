package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// person is somebody with an instance, and a service that was granted some of it.
type person struct {
	*consenttest.Fixture
	*httptest.Server
	instance *home.Instance
	consent  consent.Consent
}

// newPerson has 150 contacts, some operations, and a file.
func newPerson(t *testing.T, db *sqldb.DB, details string) *person {
	t.Helper()
	p := &person{Fixture: consenttest.New(t, db)}
	h, err := home.Open(t.Context(), db, filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	if p.instance, err = h.Create(t.Context(), "alice", home.Options{}); err != nil {
		t.Fatal(err)
	}
	var records []formats.Record
	for n := range 150 {
		records = append(records, card(n, "Person"))
	}
	records = append(records, formats.Record{ID: "a1", Dataset: formats.Bank, Kind: formats.KindAccount, Body: json.RawMessage(`{"currency":"EUR","iban":"FR7630006000011234567890189"}`)})
	for n, day := range []string{"2025-12-31", "2026-01-01", "2026-12-31"} {
		records = append(records, formats.Record{ID: fmt.Sprintf("o%d", n), Dataset: formats.Bank, Kind: formats.KindOperation, Links: []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: "a1"}},
			Body: json.RawMessage(`{"bookingDate":"` + day + `","transactionAmount":{"amount":"-0.10","currency":"EUR"}}`)})
	}
	p.put(t, records...)
	p.Service(t, "reader")
	r := p.AskFor(t, consent.Asking{Service: "reader", Details: json.RawMessage(details)})
	if p.consent, err = p.Authority.Grant(t.Context(), p.Decision(t, r, "alice"), nil); err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(apitest.Check(t, handler(p.Fixture, p.instance.Reader())))
	t.Cleanup(p.Server.Close)
	return p
}

func card(n int, name string) formats.Record {
	return formats.Record{ID: fmt.Sprintf("c%03d", n), Dataset: formats.Contacts, Kind: formats.KindCard, Created: time.Unix(int64(n), 0), Path: "",
		Body:   json.RawMessage(fmt.Sprintf(`{"@type":"Card","version":"1.0","uid":"c%03d","name":{"full":"%s %d"},"phones":{"p":{"number":"+33 6 %d"}}}`, n, name, n, n)),
		Native: &formats.Native{Type: "io.cozy.contacts", Document: json.RawMessage(`{"secret":1}`)}}
}

func (p *person) put(t *testing.T, records ...formats.Record) {
	t.Helper()
	load, err := p.instance.Target().Load(t.Context(), operators.Origin{Series: "test", Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if out, err := load.PutRecord(t.Context(), r); err != nil || out.Result == operators.Refused {
			t.Fatal(out, err)
		}
	}
	content := []byte("0123456789abcdefghij")
	blob, err := load.PutBlob(t.Context(), bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	blob.Type = "text/plain"
	if _, err := load.PutRecord(t.Context(), formats.Record{ID: "f1", Dataset: formats.Files, Kind: formats.KindFile, Path: "tree/Notes/secret plan.txt", Blob: &blob, Body: json.RawMessage(`{"mediaType":"text/plain","tags":["x"]}`)}); err != nil {
		t.Fatal(err)
	}
	if err := load.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (p *person) get(t *testing.T, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r, _ := http.NewRequest(http.MethodGet, p.URL+path, nil)
	r.Header.Set("X-Consent", p.consent.ID)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func asking(parts string) string {
	return `[{"type":"personal_data",` + parts + `,"actions":["read","subscribe"],"purpose":{"iri":"` + consenttest.Purpose + `","text":{"en":"To try it out"}},"expires":"` +
		time.Now().AddDate(0, 1, 0).UTC().Format(time.RFC3339) + `"}]`
}

// TestRead reads everything that there is to read, in each way.
func TestRead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPerson(t, db, asking(`"datasets":["contacts","files","bank"],"fields":{"contacts":["name"]},"from":"2026-01-01","to":"2026-12-31"`))
		// Cards have no day of their own but that on which they were made, which was long ago.
		if answer, body := p.get(t, "/data/contacts"); answer.StatusCode != 200 || body != `{"records":[]}`+"\n" {
			t.Error(answer.Status, body)
		}
		if answer, body := p.get(t, "/data/bank"); answer.StatusCode != 200 || !strings.Contains(body, `"a1"`) || strings.Contains(body, `"o0"`) || !strings.Contains(body, `"o1"`) || !strings.Contains(body, `"o2"`) {
			t.Error(answer.Status, body)
		}
		if answer, body := p.get(t, "/data/bank/o0"); answer.StatusCode != 404 || strings.Contains(body, "2025") {
			t.Error(answer.Status, body)
		}
		for path, want := range map[string]int{"/data/calendar": 403, "/data/nothing": 404, "/data/bank?limit=0": 400, "/data/bank?limit=x": 400, "/data/bank?limit=1001": 400, "/data/bank/x": 404, "/data/bank/a1/content": 404,
			"/data/changes?since=x": 400, "/data/changes?since=999999": 400, "/data/changes?wait=99": 400, "/data/changes?datasets=calendar": 403, "/data/changes?datasets=x": 400} {
			answer, body := p.get(t, path)
			var problem map[string]any
			if err := json.Unmarshal([]byte(body), &problem); err != nil || answer.StatusCode != want || answer.Header.Get("Content-Type") != "application/problem+json" || problem["detail"] == nil || problem["status"] != float64(want) {
				t.Errorf("%s: %s %s", path, answer.Status, body)
			}
		}
	})
}

func TestPagesAndForms(t *testing.T) {
	p := newPerson(t, dbtest.SQLite(t), asking(`"datasets":["contacts"],"fields":{"contacts":["name"]}`))
	seen := map[string]int{}
	for path := "/data/contacts?limit=40"; path != ""; {
		answer, body := p.get(t, path)
		var page struct {
			Records []struct{ ID string }
			Next    string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || answer.StatusCode != 200 || answer.Header.Get("RateLimit") == "" {
			t.Fatal(answer.Status, err, body)
		}
		for _, r := range page.Records {
			seen[r.ID]++
		}
		if (page.Next != "") != strings.Contains(answer.Header.Get("Link"), `rel="next"`) {
			t.Error(answer.Header)
		}
		if strings.Contains(body, "phones") || strings.Contains(body, "native") {
			t.Error("more than was granted:", body[:500])
		}
		path = page.Next
	}
	if len(seen) != 150 {
		t.Errorf("%d records", len(seen))
	}
	answer, body := p.get(t, "/data/contacts", "Accept", "application/x-ndjson")
	if strings.Count(body, "\n") != 150 || answer.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Error(answer.Status, strings.Count(body, "\n"))
	}
	answer, body = p.get(t, "/data/contacts", "Accept", "text/html, text/vcard;q=0.9, application/json;q=0.1")
	if strings.Count(body, "BEGIN:VCARD") != 150 || strings.Contains(body, "TEL") || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/vcard") {
		t.Errorf("%s %.500s", answer.Status, body)
	}
	if answer, body := p.get(t, "/data/contacts", "Accept", "text/calendar"); answer.StatusCode != 406 || !strings.Contains(body, "text/vcard") {
		t.Error(answer.Status, body)
	}
	answer, body = p.get(t, "/data/contacts/c007")
	tag := answer.Header.Get("ETag")
	if answer.StatusCode != 200 || !strings.Contains(body, "Person 7") || tag == "" {
		t.Error(answer.Status, body)
	}
	for value, want := range map[string]int{`"x", ` + tag: 304, "W/" + tag: 304, "*": 304, `"x"`: 200, strings.Trim(tag, `"`): 200, "": 200} {
		if answer, _ := p.get(t, "/data/contacts/c007", "If-None-Match", value); answer.StatusCode != want {
			t.Errorf("If-None-Match: %s: %d", value, answer.StatusCode)
		}
	}
	if answer, _ := p.get(t, "/data/contacts/c007", "Accept", "text/vcard", "If-None-Match", tag); answer.StatusCode != 200 || answer.Header.Get("ETag") == tag {
		t.Errorf("as a vCard it has the tag of the JSON: %d, %s", answer.StatusCode, answer.Header.Get("ETag"))
	}
	if answer, body := p.get(t, "/data/contacts/c007", "If-None-Match", tag); answer.StatusCode != 304 || body != "" {
		t.Error(answer.Status, body)
	}
	hidden := card(7, "Person")
	hidden.Body = json.RawMessage(strings.Replace(string(hidden.Body), "+33 6 7", "+33 6 8", 1))
	p.put(t, hidden)
	if answer, _ := p.get(t, "/data/contacts/c007", "If-None-Match", tag); answer.StatusCode != 304 {
		t.Error("what was not granted changed, and the service can tell")
	}
	if answer, body := p.get(t, "/data/contacts/c007", "Accept", "text/vcard"); answer.StatusCode != 200 || !strings.Contains(body, "FN:Person 7") {
		t.Error(answer.Status, body)
	}
}

func TestContent(t *testing.T) {
	p := newPerson(t, dbtest.SQLite(t), asking(`"datasets":["files"]`))
	answer, body := p.get(t, "/data/files/f1/content")
	if answer.StatusCode != 200 || body != "0123456789abcdefghij" || answer.Header.Get("Content-Type") != "text/plain" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error(answer.Status, answer.Header, body)
	}
	tag := answer.Header.Get("ETag")
	for ranges, want := range map[string]string{"bytes=3-5": "206 345", "bytes=-4": "206 ghij", "bytes=18-": "206 ij", "bytes=50-": "416 invalid range: failed to overlap\n", "bytes=x": "416 invalid range\n"} {
		if answer, body := p.get(t, "/data/files/f1/content", "Range", ranges, "If-Range", tag); fmt.Sprint(answer.StatusCode, " ", body) != want {
			t.Errorf("%s: %d %q", ranges, answer.StatusCode, body)
		}
	}
	if answer, body := p.get(t, "/data/files/f1/content", "If-None-Match", tag); answer.StatusCode != 304 || body != "" {
		t.Error(answer.Status)
	}
	limited := newPerson(t, dbtest.SQLite(t), asking(`"datasets":["files"],"fields":{"files":["tags"]}`))
	if answer, body := limited.get(t, "/data/files/f1"); answer.StatusCode != 200 || strings.Contains(body, "secret plan") || strings.Contains(body, "sha256") || !strings.Contains(body, `"tags"`) {
		t.Error(answer.Status, body)
	}
	if answer, body := limited.get(t, "/data/files/f1/content"); answer.StatusCode != 404 || strings.Contains(body, "0123") {
		t.Error(answer.Status, body)
	}
}

func TestChanges(t *testing.T) {
	p := newPerson(t, dbtest.SQLite(t), asking(`"datasets":["contacts"],"fields":{"contacts":["name"]}`))
	var page struct {
		Changes []struct {
			ID, Dataset string
			Deleted     time.Time
		}
		Position json.Number
		More     bool
	}
	read := func(path string) {
		t.Helper()
		page.Changes, page.More = nil, false
		answer, body := p.get(t, path)
		if err := json.Unmarshal([]byte(body), &page); err != nil || answer.StatusCode != 200 {
			t.Fatal(answer.Status, body)
		}
	}
	n := 0
	for read("/data/changes?limit=100"); ; read("/data/changes?limit=100&since=" + page.Position.String()) {
		n += len(page.Changes)
		for _, c := range page.Changes {
			if c.Dataset != "contacts" {
				t.Error(c)
			}
		}
		if !page.More {
			break
		}
	}
	if n != 150 {
		t.Errorf("%d changes", n)
	}
	since := page.Position.String()
	go func() {
		time.Sleep(100 * time.Millisecond)
		p.put(t, formats.Tombstone(formats.Contacts, "c003", formats.KindCard, time.Now()), card(4, "Somebody else"))
	}()
	read("/data/changes?wait=20&since=" + since)
	if len(page.Changes) == 0 {
		read("/data/changes?wait=20&since=" + page.Position.String()) // the first record of the two woke it
	}
	ids := map[string]bool{}
	for {
		for _, c := range page.Changes {
			ids[c.ID] = !c.Deleted.IsZero()
		}
		if len(ids) == 2 {
			break
		}
		read("/data/changes?wait=20&since=" + page.Position.String())
	}
	if !ids["c003"] || ids["c004"] {
		t.Error(ids)
	}
	begin := time.Now()
	go func() {
		time.Sleep(100 * time.Millisecond)
		p.Withdraw(t.Context(), consent.Ending{Consent: p.consent.ID, Person: "alice", State: consent.Withdrawn})
	}()
	if answer, _ := p.get(t, "/data/changes?wait=50&since="+page.Position.String()); answer.StatusCode != 403 || time.Since(begin) > 10*time.Second {
		t.Error("it waited on a consent that has ended", answer.Status, time.Since(begin))
	}
}

// TestRecorded looks at what is recorded of accesses: in the table, and in the log.
func TestRecorded(t *testing.T) {
	p := newPerson(t, dbtest.SQLite(t), asking(`"datasets":["contacts"]`))
	_, body := p.get(t, "/data/contacts", "Accept", "application/x-ndjson")
	sum := formats.HashOf([]byte(body))
	var records, bytes int64
	var hash, outcome string
	var open bool
	err := p.DB.Read.QueryRow(`SELECT records, bytes, hash, outcome, open FROM consent_access`).Scan(&records, &bytes, &hash, &outcome, &open)
	if err != nil || records != 150 || bytes != int64(len(body)) || hash != sum.String() || outcome != "complete" || open {
		t.Error(records, bytes, hash, outcome, open, err)
	}
	if c, err := p.OfPerson(t.Context(), p.consent.ID, "alice"); err != nil || c.Accesses != 1 {
		t.Error(c.Accesses, err)
	}
}

// TestFault has a codec that panics: what was sent is recorded, and nothing stays open.
func TestFault(t *testing.T) {
	p := newPerson(t, dbtest.SQLite(t), asking(`"datasets":["contacts"]`))
	if answer, err := http.DefaultClient.Do(request(t, p, "/data/contacts", "text/x-fault")); err == nil {
		t.Error("it was answered", answer.Status)
	}
	var outcome string
	var open bool
	for range 100 { // the connection may be closed a little earlier
		if err := p.DB.Read.QueryRow(`SELECT outcome, open FROM consent_access`).Scan(&outcome, &open); err != nil {
			t.Fatal(err)
		}
		if !open {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if outcome != "failed" || open {
		t.Error(outcome, open)
	}
}

func request(t *testing.T, p *person, path, accept string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Consent", p.consent.ID)
	r.Header.Set("Accept", accept)
	return r
}
