package move

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

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

// reread reads everything that an instance holds since a position again, from where it is kept, and holds the bytes of
// each blob against its hash.
func reread(ctx context.Context, source operators.Source, after operators.Position, tell func(records, bytes int64)) (operators.Position, error) {
	d, err := source.Describe(ctx)
	if err != nil {
		return 0, err
	}
	var records, bytes int64
	buffer := make([]byte, 128<<10)
	for item, err := range source.Records(ctx, after) {
		if err != nil {
			return 0, err
		}
		if len(item.Omissions) > 0 {
			return 0, fmt.Errorf("%w: %s", operators.ErrContentMissing, item.Omissions[0].Reason)
		}
		if item.Content != nil && item.Record.Blob != nil {
			if err := same(item, buffer); err != nil {
				return 0, err
			}
			bytes += item.Record.Blob.Size
		}
		records++
		tell(records, bytes)
	}
	return d.Position, ctx.Err()
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
