package bank_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// BenchmarkFirstRetrieval reads five accounts of 5,000 operations into records, and says how much longer that takes than to
// download the same pages and throw them away, from the same bank in the same run.
func BenchmarkFirstRetrieval(b *testing.B) {
	w := newWorld(b, banktest.Config{Operations: 5000})
	bank.Unpaced(w.client)
	access := w.granted(banktest.Bulk)
	list, _, err := w.reader(access).Accounts(b.Context(), false)
	if err != nil {
		b.Fatal(err)
	}
	floor, whole := time.Hour, time.Hour // the best of each: what else the machine does is no part of it
	var cpuFloor, cpuWhole time.Duration
	records := 0
	for b.Loop() {
		start, spent := time.Now(), cpu()
		for _, a := range list {
			w.download(access, w.server.URL+"/v1/accounts/"+a.Resource+"/transactions?bookingStatus=both&dateFrom=2000-01-01")
		}
		floor, cpuFloor = min(floor, time.Since(start)), cpuFloor+cpu()-spent
		start, spent = time.Now(), cpu()
		records = 0
		records = w.retrieve(access, list)
		whole, cpuWhole = min(whole, time.Since(start)), cpuWhole+cpu()-spent
	}
	if len(list) != 5 || records < 25_000 {
		b.Fatalf("%d accounts, %d records", len(list), records)
	}
	b.ReportMetric(float64(whole)/float64(floor), "times-download")
	b.ReportMetric(float64(cpuWhole)/float64(cpuFloor), "times-download-cpu")
	b.ReportMetric(float64(records)/whole.Seconds(), "records/s")
}

// cpu is how much the process has worked: bank and client.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// retrieve reads accounts into records, two at a time, and returns how many there are.
func (w *world) retrieve(access bank.Access, list []bank.Account) int {
	w.t.Helper()
	r := w.reader(access)
	var n atomic.Int64
	var at atomic.Int32
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := at.Add(1) - 1; int(i) < len(list); i = at.Add(1) - 1 {
				got, err := r.Operations(w.t.Context(), list[i], all)
				if err != nil {
					w.t.Error(err)
					return
				}
				for _, c := range bank.Match(nil, got.Operations, got.Covered) {
					if _, err := c.Record(list[i].Record.ID, got.Operations); err != nil {
						w.t.Error(err)
						return
					}
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(n.Load())
}

// download follows the pages from one on, as a bare client does.
func (w *world) download(access bank.Access, at string) {
	w.t.Helper()
	for at != "" {
		r, err := http.NewRequest(http.MethodGet, at, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header = http.Header{"X-Request-Id": {uuid.NewString()}, "Consent-Id": {access.Consent}, "Psu-Ip-Address": {"192.0.2.7"}}
		got, err := w.server.Client().Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil || got.StatusCode != http.StatusOK {
			w.t.Fatal(got.Status, err)
		}
		at = next(text)
	}
}

// next finds the link to the next page at the end of one, without reading all of it.
func next(text []byte) string {
	var links struct {
		Next struct {
			Href string `json:"href"`
		} `json:"next"`
	}
	const name = `"_links":`
	for i := len(text) - len(name); i >= 0; i-- {
		if string(text[i:i+len(name)]) == name {
			if json.NewDecoder(bytes.NewReader(text[i+len(name):])).Decode(&links) == nil && links.Next.Href != "" {
				return links.Next.Href
			}
		}
		if len(text)-i > 4096 {
			break
		}
	}
	return ""
}
