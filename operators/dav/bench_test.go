package dav_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// BenchmarkLargeFolder lists a folder of 20,000 files, writes one more, renames it and throws it away. The floor is the same
// in a folder of 20 files; that of the listing is per file.
func BenchmarkLargeFolder(b *testing.B) {
	const few, many = 20, 20_000
	s := newSite(b, dbtest.SQLite(b), home.Options{})
	small, large := s.folderOf(b, "small", few), s.folderOf(b, "large", many)
	list := func(f string) { s.want(http.StatusMultiStatus, "", "PROPFIND", f, "", "Depth", "1") }
	put := func(f string) { s.want(http.StatusCreated, "", "PUT", f+"new", "text") }
	move := func(f string) { s.want(http.StatusCreated, "", "MOVE", f+"new", "", "Destination", s.url+f+"newer") }
	drop := func(f string) { s.want(http.StatusNoContent, "", "DELETE", f+"newer", "") }
	for b.Loop() {
		for _, do := range []func(string){list, put, move, drop} {
			do(small) // what comes first takes longer
		}
		listed := took(list, large)
		b.ReportMetric(listed.Seconds(), "list-s")
		b.ReportMetric(listed.Seconds()/many/(took(list, small).Seconds()/few), "list-ratio")
		b.ReportMetric(took(put, large).Seconds()/took(put, small).Seconds(), "put-ratio")
		b.ReportMetric(took(move, large).Seconds()/took(move, small).Seconds(), "move-ratio")
		b.ReportMetric(took(drop, large).Seconds()/took(drop, small).Seconds(), "delete-ratio")
	}
	b.ReportMetric(0, "ns/op")
}

func took(do func(folder string), folder string) time.Duration {
	began := time.Now()
	do(folder)
	return time.Since(began)
}

// folderOf makes a folder with empty files, and returns its address.
func (s *site) folderOf(b *testing.B, name string, files int) string {
	b.Helper()
	load, err := s.alice.Target().Load(b.Context(), operators.Origin{Series: name})
	if err != nil {
		b.Fatal(err)
	}
	for n := range files {
		r := formats.Record{ID: fmt.Sprint(name, n), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(fmt.Sprintf("%s/file %d.txt", name, n)), Modified: time.Now(), Body: json.RawMessage(`{}`)}
		if _, err := load.PutRecord(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	if err := load.Finish(b.Context()); err != nil {
		b.Fatal(err)
	}
	return "/dav/files/" + name + "/"
}
