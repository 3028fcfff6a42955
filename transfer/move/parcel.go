package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Wanted is which bytes a destination asks for: some blobs, the first of which may have come in part, or a part of one blob.
type Wanted struct {
	Blobs []formats.Hash `json:"blobs"`
	From  int64          `json:"from,omitempty"` // bytes of the first that have come
	Most  int64          `json:"most,omitempty"` // so many of the one blob; 0: all
}

// Check says what is wrong with it.
func (w Wanted) Check() error {
	switch {
	case len(w.Blobs) == 0 || len(w.Blobs) > MostListed:
		return fmt.Errorf("blobs: from 1 to %d", MostListed)
	case w.From < 0 || w.Most < 0:
		return errors.New("from, most: not below 0")
	case w.Most > 0 && len(w.Blobs) > 1:
		return errors.New("most: of one blob")
	}
	for n := range len(w.Blobs) - 1 {
		if bytes.Compare(w.Blobs[n][:], w.Blobs[n+1][:]) >= 0 {
			return errors.New("blobs: in the order of their hashes, each once")
		}
	}
	return nil
}

// Outgoing is a parcel that can be sent.
type Outgoing struct {
	wanted     Wanted
	source     operators.Source
	recipients []age.Recipient
}

// Parcel gives the bytes of some blobs, as far as they are here, in the order in which they are asked for: that of their hashes.
func (s *Sender) Parcel(ctx context.Context, a Authorisation, id string, w Wanted) (*Outgoing, error) {
	e, err := s.own(ctx, a, id)
	if err == nil && e.Ended() {
		err = ErrEnded
	}
	if err != nil {
		return nil, err
	}
	peer, err := s.opt.Peer(ctx, e.Peer)
	if err != nil {
		return nil, err
	}
	recipients, err := peer.Recipients()
	if err != nil {
		return nil, err
	}
	source, err := s.opt.Instance(ctx, e.Person)
	return &Outgoing{w, source, recipients}, err
}

// Close closes what was opened for it.
func (o *Outgoing) Close() error { return o.source.Close() }

// Send sends it, encrypted to the destination.
func (o *Outgoing) Send(ctx context.Context, to io.Writer) error {
	parcel, err := archive.NewParcel(to, o.recipients)
	if err != nil {
		return err
	}
	if listing, can := o.source.(operators.Listing); can {
		for content, err := range listing.Contents(ctx, o.wanted.Blobs) {
			if err == nil {
				err = errors.Join(o.add(parcel, content), content.Close())
			}
			if err != nil {
				return err
			}
		}
	}
	return parcel.Close()
}

func (o *Outgoing) add(parcel *archive.ParcelWriter, c operators.Content) error {
	from, size := int64(0), c.Size
	if c.SHA256 == o.wanted.Blobs[0] {
		from = min(o.wanted.From, c.Size)
		size -= from
	}
	if most := o.wanted.Most; most > 0 {
		size = min(size, most)
	}
	if from > 0 {
		if _, err := c.Seek(from, io.SeekStart); err != nil {
			return err
		}
	}
	return parcel.Add(c.SHA256, size, c)
}

// parcel asks for one. The answer has come, and been read and closed, within the time of a request, or is cut.
func (l *Link) parcel(ctx context.Context, id string, w Wanted) (io.ReadCloser, error) {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	body, err := json.Marshal(w)
	if err != nil {
		stop()
		return nil, err
	}
	response, err := l.send(ctx, http.MethodPost, l.at(id, "blobs"), http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		stop()
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer stop()
		return nil, read200(response, nil)
	}
	return &timed{response.Body, stop}, nil
}

// timed is an answer whose time ends when it is closed.
type timed struct {
	io.ReadCloser
	stop context.CancelFunc
}

func (t *timed) Close() error {
	defer t.stop()
	return t.ReadCloser.Close()
}

// part is what is asked for at once: some blobs, or of one blob the bytes from one place to another; to is 0 where that is its end.
type part struct {
	left     []formats.Blob
	from, to int64 // of the first
}

func (p *part) wanted() Wanted {
	w := Wanted{From: p.from}
	if p.to > 0 {
		w.Most = p.to - p.from
	}
	for _, b := range p.left {
		w.Blobs = append(w.Blobs, b.SHA256)
	}
	return w
}

// rest is how many bytes of the first are still to come.
func (p *part) rest() int64 {
	if p.to > 0 {
		return p.to - p.from
	}
	return p.left[0].Size - p.from
}

// done goes past the first.
func (p *part) done() { p.left, p.from = p.left[1:], 0 }

// incoming is a parcel that comes. Where the answer is cut, the rest is asked for, in the midst of a blob too: as long as each
// answer brings something, whoever reads sees nothing of it. Once it is asked for again though nothing came: an answer may have
// waited until its time was over.
type incoming struct {
	ctx        context.Context
	link       *Link
	id         string
	identities []age.Identity
	part       // what is still to come

	body   *watchedBody
	parcel *archive.Parcel
	gave   int64 // of this answer, in bytes, and as much for each blob as its header has
	waited bool  // it was asked for again though nothing came
}

// headBytes is about what a blob takes besides its own bytes.
const headBytes = 512

// watchedBody remembers how an answer ended. It gives no more than it should have.
type watchedBody struct {
	io.ReadCloser
	mu   sync.Mutex
	left int64
	over bool  // nobody reads it any more
	cut  error // before that
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left -= int64(n); w.left < 0 {
		return 0, errTooLong
	}
	if err != nil && err != io.EOF && !w.over {
		w.cut = err
	}
	return n, err
}

var errTooLong = errors.New("it is longer than what it was asked for")

// ended is how it ended until now.
func (w *watchedBody) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	return w.cut
}

// mostParcel is more than an answer has: of each blob three headers, and what encryption adds.
func (p *part) mostParcel() int64 {
	total := int64(64 << 10)
	for n, b := range p.left {
		size := b.Size
		if n == 0 {
			size = p.rest()
		}
		total += size + size>>10 + 4*headBytes
	}
	return total
}

// open begins to read an answer.
func (in *incoming) open(body io.ReadCloser) (err error) {
	in.body, in.gave = &watchedBody{ReadCloser: body, left: in.mostParcel()}, 0
	in.parcel, err = archive.OpenParcel(in.body, in.identities)
	return err
}

// close gives up what was not read.
func (in *incoming) close() {
	in.body.ended()
	in.body.Close() // so that nothing waits for it
	if in.parcel != nil {
		in.parcel.Close()
		in.parcel = nil
	}
}

// again asks for the rest after an error, if that is worth it. It tells an answer that was cut from one that is none.
func (in *incoming) again(err error) error {
	for {
		cut := in.body.ended()
		in.close()
		if cut == nil {
			return fmt.Errorf("%w: a parcel: %w", ErrAnswer, err)
		}
		if in.gave < leastProgress && in.waited || in.ctx.Err() != nil {
			return fmt.Errorf("%w: a parcel was cut: %w", ErrUnreachable, cut)
		}
		in.waited = in.gave < leastProgress
		body, errAsk := in.link.parcel(in.ctx, in.id, in.wanted())
		if errAsk != nil {
			return errAsk
		}
		if err = in.open(body); err == nil {
			return nil
		}
	}
}

// next goes to the next blob that is there, and says how many bytes of it follow; io.EOF: there is none.
func (in *incoming) next() (formats.Blob, int64, error) {
	for len(in.left) > 0 {
		hash, size, err := in.parcel.Next()
		if err == io.EOF {
			in.left = nil
			break
		}
		if err != nil {
			if err := in.again(err); err != nil {
				return formats.Blob{}, 0, err
			}
			continue
		}
		for len(in.left) > 0 && in.left[0].SHA256 != hash { // those are not there
			in.done()
		}
		if len(in.left) == 0 {
			return formats.Blob{}, 0, fmt.Errorf("%w: a parcel holds %s, which was not asked for, or not there", ErrAnswer, hash)
		}
		if want := in.rest(); size != want {
			return formats.Blob{}, 0, fmt.Errorf("%w: a parcel has %d bytes of %s, and not %d", ErrAnswer, size, hash, want)
		}
		in.gave += headBytes
		return in.left[0], size, nil
	}
	return formats.Blob{}, 0, io.EOF
}

// Read reads the blob that next came to. The whole of it has come when it ends.
func (in *incoming) Read(p []byte) (int, error) {
	for in.rest() > 0 {
		n, err := in.parcel.Read(p)
		in.from += int64(n)
		in.gave += int64(n)
		if n > 0 || err == nil {
			return n, nil
		}
		if err := in.again(err); err != nil {
			return 0, err
		}
		if err := in.goOn(); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

// goOn goes to the rest of what was under way.
func (in *incoming) goOn() error {
	for {
		hash, size, err := in.parcel.Next()
		switch {
		case err == io.EOF || err == nil && hash != in.left[0].SHA256:
			return fmt.Errorf("%w: %s went while it was sent", ErrUnreachable, in.left[0].SHA256) // it will not be listed again
		case err == nil && size != in.rest():
			return fmt.Errorf("%w: a parcel has %d bytes of the rest of %s, and not %d", ErrAnswer, size, hash, in.rest())
		case err == nil:
			return nil
		}
		if err := in.again(err); err != nil {
			return err
		}
	}
}
