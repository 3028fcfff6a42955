package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/problem"
)

// Link is how a destination speaks with a source: it asks, and is answered. Anything may be asked again.
type Link struct {
	// URL is that of the source's gateway, without a slash at the end.
	URL string
	// Send sends a request with the token that the person's authorisation gave.
	Send func(ctx context.Context, method, url string, header http.Header, body []byte) (*http.Response, error)
	// Plain is for what anybody may ask who knows the move's id.
	Plain *http.Client

	clock clock
}

// Errors of a link.
var (
	// ErrUnauthorised says that the source takes the authorisation for ended.
	ErrUnauthorised = errors.New("the source does not accept the authorisation to move any more")
	// ErrAnswer is what does not go on because of what the source answers.
	ErrAnswer = errors.New("the source does not go along")
	// ErrUnreachable says that no answer came, or not all of it.
	ErrUnreachable = errors.New("the source cannot be reached")
	// ErrStranger says that the source does not take us for an operator that it trusts.
	ErrStranger = errors.New("the source does not trust this operator")
	// ErrAils says that something is broken at the source, and ErrFull that its disk is full.
	ErrAils = errors.New("something is broken at the source")
	ErrFull = fmt.Errorf("%w: there is no room left", ErrAils)
)

const (
	maxMessage = 16 << 20
	chunk      = 4 << 20 // bytes of a file that are asked for at once: less than any proxy lets through
)

// requestTime is how long a request may take, of which none moves more than a chunk.
const requestTime = 60 * time.Second

func (l *Link) at(id string, more ...string) string {
	return l.URL + "/moves/" + strings.Join(append([]string{id}, more...), "/")
}

// call sends a message and reads the answer.
func (l *Link) call(ctx context.Context, method, to string, message, answer any) (int, error) {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	body, err := json.Marshal(message)
	if err != nil {
		return 0, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if message == nil {
		body = nil
	}
	response, err := l.send(ctx, method, to, header, body)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, read200(response, answer)
}

// send sends a request, and tells a source that cannot be reached from what keeps this side from asking.
func (l *Link) send(ctx context.Context, method, to string, header http.Header, body []byte) (*http.Response, error) {
	response, err := l.Send(ctx, method, to, header, body)
	if err != nil {
		return nil, unreached(err)
	}
	l.clock.heard(response.Header)
	return response, nil
}

func unreached(err error) error {
	var onTheWay *url.Error
	if errors.As(err, &onTheWay) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// read200 reads an answer, or the problem that it is.
func read200(response *http.Response, answer any) error {
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxMessage+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: its answer was cut: %w", ErrUnreachable, err)
	case len(text) > maxMessage:
		return fmt.Errorf("%w: its answer is longer than %d bytes", ErrAnswer, maxMessage)
	case response.StatusCode >= http.StatusMultipleChoices && response.StatusCode < http.StatusBadRequest:
		return fmt.Errorf("%w: it sends us elsewhere (%s, to %.200q): its statement has to name the address of its gateway", ErrAnswer, response.Status, response.Header.Get("Location"))
	case response.StatusCode != http.StatusOK:
		return problemOf(response.StatusCode, text)
	}
	if raw, ok := answer.(*string); ok {
		*raw = strings.TrimSpace(string(text))
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%w: its answer is not understood: %w", ErrAnswer, err)
	}
	return nil
}

// said are the errors that a source names by the type of its problem.
var said = map[string]error{
	"move-stale": ErrStale, "move-ended": ErrEnded, "move-other-state": ErrOtherState, "move-too-late": ErrTooLate, "move-order": ErrOrder, "move-refused": ErrRefused, "move-open": ErrOpen,
}

// Problems are the types of problems by the errors that they stand for.
func Problems() map[string]error { return said }

func problemOf(status int, text []byte) error {
	var p struct{ Type, Title, Detail string }
	_ = json.Unmarshal(text, &p) // some answers of what stands in between are none
	p.Title, p.Detail = shortened(p.Title), shortened(p.Detail)
	if err := said[strings.TrimPrefix(p.Type, problem.Prefix)]; err != nil {
		return fmt.Errorf("%w: %s", err, p.Detail)
	}
	switch own := strings.HasPrefix(p.Type, problem.Prefix); {
	case p.Type == problem.Prefix+"operator-unknown":
		return fmt.Errorf("%w (%d %s %s)", ErrStranger, status, p.Title, p.Detail)
	case status == http.StatusInsufficientStorage:
		return fmt.Errorf("%w: it answers %d %s %s", ErrFull, status, p.Title, p.Detail)
	case status >= http.StatusInternalServerError && own:
		return fmt.Errorf("%w: it answers %d %s %s", ErrAils, status, p.Title, p.Detail)
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests: // of what stands before it
		return fmt.Errorf("%w: %d %s %s", ErrUnreachable, status, p.Title, p.Detail)
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return fmt.Errorf("%w (%d %s %s)", ErrUnauthorised, status, p.Title, p.Detail)
	}
	if status == http.StatusNotFound && p.Type == problem.Prefix+"not-found" {
		return fmt.Errorf("%w: %w", ErrAnswer, ErrNotFound)
	}
	return fmt.Errorf("%w: it answers %d %s %s", ErrAnswer, status, p.Title, p.Detail)
}

// shortened is what a source says, as far as it is kept and shown.
func shortened(s string) string {
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

// Begin begins the move, and learns what will move.
func (l *Link) Begin(ctx context.Context) (p Plan, err error) {
	_, err = l.call(ctx, http.MethodPost, l.URL+"/moves", struct{}{}, &p)
	return p, err
}

func (l *Link) pack(ctx context.Context, id string, n int, whole bool) (p Packed, err error) {
	message := struct {
		Whole bool `json:"whole,omitempty"`
	}{whole}
	_, err = l.call(ctx, http.MethodPut, l.at(id, "archives", strconv.Itoa(n)), message, &p)
	return p, err
}

func (l *Link) fence(ctx context.Context, id string, epoch int) (f FencedAt, err error) {
	_, err = l.call(ctx, http.MethodPut, l.at(id, "fence"), map[string]int{"epoch": epoch}, &f)
	return f, err
}

func (l *Link) accept(ctx context.Context, id, acceptance string) (r Receipt, err error) {
	_, err = l.call(ctx, http.MethodPut, l.at(id, "acceptance"), map[string]string{"acceptance": acceptance}, &r)
	return r, err
}

func (l *Link) abort(ctx context.Context, id, why string) error {
	_, err := l.call(ctx, http.MethodPut, l.at(id, "abort"), map[string]string{"why": why}, &struct{}{})
	return err
}

// plain asks for what needs no token.
func (l *Link) plain(ctx context.Context, from string, answer any) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	plain := *l.Plain
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // nobody sends us elsewhere
	response, err := plain.Do(r)
	if err != nil {
		return unreached(err)
	}
	l.clock.heard(response.Header)
	return read200(response, answer)
}

// Say asks the source how the move stands, and checks that it signed that.
func (l *Link) say(ctx context.Context, id string, by *statement.Signed) (Said, error) {
	var compact string
	if err := l.plain(ctx, l.at(id), &compact); err != nil {
		return Said{}, err
	}
	return openSaid(compact, id, by)
}

func (l *Link) receipt(ctx context.Context, id string) (r Receipt, err error) {
	return r, l.plain(ctx, l.at(id, "receipt"), &r)
}

// part writes a part of a file, as many bytes of it as came: those are good also where an error says that it is not all.
func (l *Link) part(ctx context.Context, id string, n int, name string, from, size int64, into io.Writer) (came int64, err error) {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	header := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", from, from+size-1)}, "Accept-Encoding": {"identity"}}
	response, err := l.send(ctx, http.MethodGet, l.at(id, "archives", strconv.Itoa(n), name), header, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-%d/", from, from+size-1); !strings.HasPrefix(response.Header.Get("Content-Range"), want) {
			return 0, fmt.Errorf("%w: it sends %q, not %s", ErrAnswer, response.Header.Get("Content-Range"), want)
		}
	case response.StatusCode == http.StatusOK && from == 0 && response.ContentLength == size:
	default:
		text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		if err == nil && response.StatusCode < http.StatusBadRequest {
			err = fmt.Errorf("%w: a part of a file is asked for, and it answers %s", ErrAnswer, response.Status)
		}
		if err != nil {
			return 0, err
		}
		return 0, problemOf(response.StatusCode, text)
	}
	return copyPart(into, response.Body, size, name)
}

// copyPart writes what comes in pieces that are larger than those in which TLS brings it.
func copyPart(into io.Writer, body io.Reader, size int64, name string) (came int64, err error) {
	piece := make([]byte, min(size, 256<<10))
	for came < size {
		n, cut := io.ReadFull(body, piece[:min(int64(len(piece)), size-came)])
		if _, err := into.Write(piece[:n]); err != nil {
			return came, err
		}
		came += int64(n)
		if cut != nil {
			return came, fmt.Errorf("%w: %s was cut: %w", ErrUnreachable, name, cut)
		}
	}
	return came, nil
}
