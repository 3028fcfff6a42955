package banktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// request is a request of a third party that the bank has accepted so far.
type request struct {
	*http.Request
	id    string // X-Request-ID
	party string // who asks: the organisation of its certificate
	body  []byte
	base  string // before a link's path
	root  string // before a page's path

	strikes []*Fault // what goes wrong with it on purpose
}

// reply is an answer that was not sent yet.
type reply struct {
	status int
	header http.Header
	kind   string // of the body; "": application/json
	body   any    // []byte as it is, anything else as JSON; nil: none
}

// operation answers to a request. The bank's lock is held; what it returns must not be the bank's own.
type operation func(*request) (*reply, error)

const maxBody = 64 << 10 // bytes

// uuidForm is that of RFC 9562, of any version.
func uuidForm() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
}

// xs2a is everything that is the same for each operation of the interface.
func (b *Bank) xs2a(do operation) http.Handler {
	uuid := uuidForm()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, status := time.Now(), 0
		tooMany := b.arrives()
		defer func() {
			b.leaves(status)
			b.config.Log.Info("xs2a", "method", r.Method, "route", r.Pattern, "status", status, "took", time.Since(began))
		}()
		q := &request{Request: r, id: r.Header.Get("X-Request-ID"), party: anonymous}
		var answer *reply
		if tooMany != nil {
			answer = b.tooMany(tooMany)
		} else {
			if q.strikes = b.strike(r); q.breaks(w) {
				return
			}
			answer = b.answer(q, uuid, do)
		}
		if !uuid.MatchString(q.id) {
			q.id = newID()
		}
		w.Header().Set("X-Request-ID", q.id)
		status = answer.status
		q.send(w, answer)
	})
}

// answer answers to a request, or says what is wrong with it.
func (b *Bank) answer(q *request, uuid *regexp.Regexp, do operation) *reply {
	answer, err := b.try(q, uuid, do)
	if err == nil {
		return answer
	}
	var known *Error
	if !errors.As(err, &known) {
		b.config.Log.Error("xs2a", "error", err)
		known = fail(http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", "%v", err)
	}
	return known.reply(b.config.Problems)
}

func (b *Bank) try(q *request, uuid *regexp.Regexp, do operation) (*reply, error) {
	if !uuid.MatchString(q.id) {
		return nil, wrongForm("X-Request-ID", "the header must hold a UUID, a new one for each request")
	}
	var err error
	if q.body, err = io.ReadAll(io.LimitReader(q.Body, maxBody+1)); err != nil || len(q.body) > maxBody {
		return nil, wrongForm("", "the body cannot be read, or has more than %d bytes", maxBody)
	}
	if ip := q.Header.Get("PSU-IP-Address"); ip != "" && net.ParseIP(ip) == nil {
		return nil, wrongForm("PSU-IP-Address", "%q is no IP address", ip)
	}
	q.root = b.origin(q.Request)
	if !b.config.RelativeLinks {
		q.base = q.root
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.identify(q); err != nil {
		return nil, err
	}
	answer, err := do(q)
	if saved := b.save(); saved != nil {
		return nil, saved
	}
	return answer, err
}

// origin is where the bank is reached.
func (b *Bank) origin(r *http.Request) string {
	switch {
	case b.config.URL != "":
		return strings.TrimSuffix(b.config.URL, "/")
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// elsewhere answers to what the bank does not have.
func (b *Bank) elsewhere(q *request) (*reply, error) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := q.Clone(q.Context())
		other.Method = method
		if _, pattern := b.mux.Handler(other); method != q.Method && pattern != "/v1/" {
			return nil, fail(http.StatusMethodNotAllowed, "SERVICE_INVALID", "%s is not for this resource", q.Method)
		}
	}
	return nil, fail(http.StatusNotFound, "RESOURCE_UNKNOWN", "there is no %s", q.URL.Path)
}

// decode reads a body of JSON.
func (q *request) decode(to any) error {
	kind, _, _ := strings.Cut(q.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(kind) != "application/json" {
		return fail(http.StatusUnsupportedMediaType, "FORMAT_ERROR", "the body must be application/json")
	}
	d := json.NewDecoder(bytes.NewReader(q.body))
	if err := d.Decode(to); err != nil {
		return wrongForm("", "the body: %v", err)
	}
	if d.More() {
		return wrongForm("", "something follows the body")
	}
	return nil
}

// present reports whether the person is there: then reads are not counted.
func (q *request) present() bool { return q.Header.Get("PSU-IP-Address") != "" }

// href is a link of NextGenPSD2.
type href struct {
	Href string `json:"href"`
}

type links map[string]href

// link is a link to something of the interface.
func (q *request) link(path string) href { return href{q.base + path} }

func ok(body any) *reply { return &reply{status: http.StatusOK, body: body} }

// send sends an answer.
func (q *request) send(w http.ResponseWriter, a *reply) {
	body, isRaw := a.body.([]byte)
	if !isRaw && a.body != nil {
		var err error
		if body, err = json.Marshal(a.body); err != nil {
			a.status, body = http.StatusInternalServerError, nil
		}
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if body != nil {
		kind := a.kind
		if kind == "" {
			kind = "application/json"
		}
		w.Header().Set("Content-Type", kind)
	}
	q.transmit(w, a.status, body)
}
