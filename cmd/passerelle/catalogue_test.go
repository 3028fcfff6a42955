package main

import (
	"archive/zip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// seen asks a gateway as anybody, in a language, and holds the answer against openapi.yaml.
func (g *running) seen(t *testing.T, path, lang string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Language", lang)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	apitest.Answer(t, answer, string(body))
	return answer.StatusCode, string(body)
}

// TestDataActArticle26Register: everybody can read what can be taken out, and it is what the program works with.
func TestDataActArticle26Register(t *testing.T) {
	g := runGateway(t, t.TempDir(), "--retain-moved", "45")
	status, text := g.seen(t, "/.well-known/passerelle-formats", "en")
	var c transfer.Catalogue
	if err := json.Unmarshal([]byte(text), &c); err != nil || status != http.StatusOK {
		t.Fatal(status, err, text)
	}
	if c.Archive.Format != archive.Format || c.Terms != (transfer.Terms{Transition: 30, Retained: 45}) || len(c.Limits) < 5 || !slices.Equal(c.Targets, targets()) {
		t.Errorf("%+v", c)
	}
	var sets []formats.Dataset
	written := 0
	for _, d := range c.Datasets {
		sets = append(sets, d.Dataset)
		written += len(d.Formats)
	}
	if !slices.Equal(sets, formats.Datasets()) || written != len(codecs()) {
		t.Errorf("%d formats of %v", written, sets)
	}
	for _, s := range c.Structures {
		if status, schema := g.seen(t, s.Schema, "en"); status != http.StatusOK || !json.Valid([]byte(schema)) {
			t.Errorf("%s: %d %s", s.Schema, status, schema)
		}
	}
	if status, _ := g.seen(t, "/formats/schemas/nothing.json", "en"); status != http.StatusNotFound {
		t.Errorf("a schema that there is not: %d", status)
	}
	for lang, says := range map[string]string{"en": "Leaving costs nothing", "fr": "Partir est gratuit"} {
		status, page := g.seen(t, "/formats", lang)
		if status != http.StatusOK || !strings.Contains(page, says) || !strings.Contains(page, "text/vcard") || !strings.Contains(page, "/data/{dataset}") || !strings.Contains(page, "45") {
			t.Errorf("%s: %d %s", lang, status, page)
		}
	}
	if _, page := g.seen(t, "/sign-in", "en"); !strings.Contains(page, `href="/formats"`) {
		t.Error("no page leads to it")
	}
}

// TestDataActArticle26True: an archive has the files that the register says.
func TestDataActArticle26True(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.zip")
	mustCall(t, "--data", t.TempDir(), "export", "--from", "example:1", "--out", file)
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	has := map[string]bool{}
	for _, f := range z.File {
		_, inside, _ := strings.Cut(f.Name, "/")
		has[inside] = true
	}
	c, err := transfer.NewCatalogue(codecs(), formats.Schemas())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Structures {
		if !has["schemas/"+string(s.Kind)+".json"] {
			t.Errorf("no schema of %s", s.Kind)
		}
	}
	for _, d := range c.Datasets {
		folder := "data/" + string(d.Dataset) + "/"
		if !has[folder+c.Archive.Records] {
			continue // the invented person has none
		}
		for _, f := range d.Formats {
			if f.File != "" && !has[folder+f.File] {
				t.Errorf("%s has no %s", d.Dataset, f.File)
			}
		}
	}
}

// TestDataActArticle26Interfaces: no route that gives a person's data is missing from the register, and none of it is not
// served.
func TestDataActArticle26Interfaces(t *testing.T) {
	text, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, m := range regexp.MustCompile(`mux\.Handle(?:Func)?\("(GET /(?:data|download|moves|dav)[^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		mux.HandleFunc(m[1], http.NotFound)
	}
	var first []string
	for _, i := range served(mux, interfaces()) {
		first = append(first, strings.Split(i.Path, "/")[1])
	}
	for _, name := range []string{"data", "download", "moves"} {
		if !slices.Contains(first, name) {
			t.Errorf("/%s is not in the register: %v", name, first)
		}
	}
	if strings.Contains(string(text), `"GET /dav/`) != slices.Contains(first, "dav") {
		t.Errorf("/dav is served, or in the register, and not both: %v", first)
	}
	if got := served(http.NewServeMux(), interfaces()); len(got) != 0 {
		t.Errorf("a gateway that serves nothing gives %v", got)
	}
}
