package move

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// opener opens the bytes of a blob.
type opener func(ctx context.Context, blob formats.Hash) (io.ReadCloser, error)

// mostChallenged is for how many blobs a challenge may ask: each is read as a whole.
const mostChallenged = 1000

// answer answers a challenge, in the order in which it asks.
func answer(ctx context.Context, open opener, c Challenge) ([]formats.Hash, error) {
	if len(c.Blobs) > mostChallenged {
		return nil, fmt.Errorf("%w: it wants to be shown %d blobs", ErrAnswer, len(c.Blobs))
	}
	answers := []formats.Hash{}
	for _, blob := range c.Blobs {
		content, err := open(ctx, blob)
		if err != nil {
			return nil, err
		}
		one, err := c.Answer(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, err
		}
		answers = append(answers, one)
	}
	return answers, nil
}

// opening opens an instance to be read.
type opening func(context.Context) (operators.Source, error)

// reread reads everything that an instance holds since a position again, from where it is kept, and holds the bytes of
// each blob against its hash. It reads in two halves at once.
func reread(ctx context.Context, open opening, after operators.Position, tell func(records, bytes int64)) (operators.Position, error) {
	first, err := open(ctx)
	if errors.Is(err, operators.ErrNotFound) {
		return 0, nil // nothing ever came: the instance is empty
	}
	if err != nil {
		return 0, err
	}
	defer first.Close()
	d, err := first.Describe(ctx)
	if err != nil {
		return 0, err
	}
	r := &rereading{tell: tell}
	one, can := first.(operators.Ranging)
	if !can || d.Position-after < worthHalving {
		return d.Position, r.all(ctx, first, after)
	}
	second, err := open(ctx)
	if err != nil {
		return 0, err
	}
	defer second.Close()
	other, can := second.(operators.Ranging)
	if !can {
		return 0, fmt.Errorf("%w: one half of it cannot be read by itself", operators.ErrUnsupported)
	}
	middle := after + (d.Position-after)/2
	one.Range(after, middle)
	other.Range(middle, d.Position)
	halves, ctx := errgroup.WithContext(ctx)
	halves.Go(func() error { return r.all(ctx, first, after) })
	halves.Go(func() error { return r.all(ctx, second, after) })
	return d.Position, halves.Wait()
}

// worthHalving is from how many changes on two halves take less time than the whole.
const worthHalving = 1000

// rereading is one look at everything.
type rereading struct {
	mu             sync.Mutex
	records, bytes int64
	tell           func(records, bytes int64)
}

// all reads what a source gives after a position.
func (r *rereading) all(ctx context.Context, source operators.Source, after operators.Position) error {
	buffer := make([]byte, 128<<10)
	for item, err := range source.Records(ctx, after) {
		if err != nil {
			return err
		}
		if len(item.Omissions) > 0 {
			return fmt.Errorf("%w: %s", operators.ErrContentMissing, item.Omissions[0].Reason)
		}
		bytes := int64(0)
		if item.Content != nil && item.Record.Blob != nil {
			if err := same(item, buffer); err != nil {
				return err
			}
			bytes = item.Record.Blob.Size
		}
		r.add(bytes)
	}
	return ctx.Err()
}

func (r *rereading) add(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records++
	r.bytes += bytes
	r.tell(r.records, r.bytes)
}

// same checks the bytes of one blob.
func same(item operators.Item, buffer []byte) error {
	content, err := item.Content()
	if err != nil {
		return err
	}
	defer content.Close()
	digest := sha256.New()
	if _, err := io.CopyBuffer(digest, content, buffer); err != nil {
		return err
	}
	if got := formats.Hash(digest.Sum(nil)); got != item.Record.Blob.SHA256 {
		return fmt.Errorf("%w: of %s there are other bytes than it should have", operators.ErrContentMissing, item.Record.Blob.SHA256)
	}
	return nil
}
