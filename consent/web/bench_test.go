package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
)

// BenchmarkPages is what a page costs the server for a person who has 1,000 consents of 1,000 services, on which data was
// read 100,000 times. The floor is the same page for somebody who has nothing.
func BenchmarkPages(b *testing.B) {
	s := newSite(b, dbtest.SQLite(b))
	s.belongings(b)
	s.Crowd(b, 1000, 100)
	first := "/consents/" + consenttest.CrowdID("consent", 7)
	for _, c := range []struct{ name, path string }{
		{"Dashboard", "/consents"}, {"DashboardSearch", "/consents?q=number+77"}, {"DashboardDeep", "/consents?page=45"}, {"Consent", first}, {"Overview", "/overview"},
		{"Prompt", "/consent/requests/" + s.Ask(b, "invites").ID},
	} {
		b.Run(c.name, func(b *testing.B) {
			floor := s.time(b, c.path, "bob")
			s.ask(b, c.path, "alice")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/page")
			if c.path != first { // which is nobody else's
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/floor, "×floor")
			}
		})
	}
}

// time is how long a page takes, in nanoseconds: the mean of a hundred.
func (s *site) time(b *testing.B, path, person string) float64 {
	s.once(b, path, person)
	begin := time.Now()
	for range 100 {
		s.once(b, path, person)
	}
	return float64(time.Since(begin).Nanoseconds()) / 100
}

// ask asks for a page, again and again, without a network.
func (s *site) ask(b *testing.B, path, person string) {
	s.once(b, path, person)
	for b.Loop() {
		s.once(b, path, person)
	}
}

func (s *site) once(b *testing.B, path, person string) {
	b.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: person, Expires: time.Now().Add(time.Hour)})
	w := httptest.NewRecorder()
	if s.Server.Config.Handler.ServeHTTP(w, r); w.Code >= 500 {
		b.Fatal(w.Code, w.Body.String())
	}
}
