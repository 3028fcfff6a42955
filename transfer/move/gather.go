package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Gathered is how far the blobs have come that travel before archive 0.
type Gathered struct {
	After formats.Hash `json:"after,omitzero"` // of the source's list, all up to there are dealt with
	Blobs int64        `json:"blobs,omitempty"`
	Bytes int64        `json:"bytes,omitempty"`
	Done  bool         `json:"done,omitempty"`
}

// gathering is one run of having blobs come.
type gathering struct {
	*arrival
	Gathered
	next       chan listed // the page of the source's list that was asked for
	progress   Progress
	owns       bool // the person has something here already
	identities []age.Identity
}

// gather has blobs come before archive 0, and reports whether it did anything. What a process that died had not written down is
// done again: what came is there then.
func (a *arrival) gather(ctx context.Context) (bool, error) {
	if a.Detail.Gathered.Done || a.Detail.Whole || a.opt.Staging.Held == nil || a.Detail.Plan.Total.Bytes == 0 {
		return false, nil
	}
	g := gathering{arrival: a, Gathered: a.Detail.Gathered}
	var err error
	if g.owns, err = a.opt.Staging.Owns(ctx, a.Person); err != nil {
		return true, err
	}
	if g.identities, err = a.opt.Identities(ctx); err != nil {
		return true, err
	}
	g.progress = Progress{Step: Fetching, TotalBytes: a.Detail.Plan.Total.Bytes, Began: a.store.now()}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g.list(ctx)
	for !g.Done {
		if err := g.page(ctx); err != nil {
			return true, fmt.Errorf("have files come: %w", err)
		}
		if err := a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
			e.Detail.Gathered = g.Gathered
			return nil, nil
		}); err != nil {
			return true, err
		}
	}
	return true, os.RemoveAll(g.folder())
}

// listed is a page of the source's list.
type listed struct {
	Listed
	err error
}

// list asks for the page after the last one.
func (g *gathering) list(ctx context.Context) {
	next := make(chan listed, 1)
	go func(after formats.Hash) {
		page, err := g.link.blobs(ctx, g.ID, after)
		next <- listed{page, err}
	}(g.After)
	g.next = next
}

// page deals with a page of the source's list, while the next one comes.
func (g *gathering) page(ctx context.Context) error {
	page := <-g.next
	if page.err != nil {
		return page.err
	}
	if len(page.Blobs) == 0 {
		g.Done = true
		return nil
	}
	if g.After = page.Blobs[len(page.Blobs)-1].SHA256; page.More {
		g.list(ctx)
	}
	for _, b := range page.Blobs {
		if b.Size > mostBytes(g.Detail.Plan)-g.Bytes || g.Blobs == mostBlobs(g.Detail.Plan) {
			return fmt.Errorf("%w: it lists many more blobs than it announced", ErrAnswer)
		}
		g.Blobs, g.Bytes = g.Blobs+1, g.Bytes+b.Size
	}
	held, err := g.bring(ctx, page.Blobs)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(held, MostListed) {
		if err := g.link.spare(ctx, g.ID, some); err != nil {
			return err
		}
	}
	g.Done = !page.More
	return nil
}

// bring returns which of some blobs are here, after it has had those come that were not.
func (g *gathering) bring(ctx context.Context, blobs []formats.Blob) ([]formats.Hash, error) {
	if g.owns {
		looking := g.progress
		looking.Step = Taking
		g.show(ctx, looking)
		if err := g.opt.Staging.Take(ctx, g.ID, g.Person, blobs); err != nil {
			return nil, fmt.Errorf("take what the person has here: %w", err)
		}
	}
	held, err := g.opt.Staging.Held(ctx, g.ID, blobs)
	if err != nil {
		return nil, err
	}
	missing := without(blobs, held)
	g.progress.Bytes = g.Bytes
	for _, b := range missing {
		g.progress.Bytes -= b.Size
	}
	if len(missing) == 0 {
		return held, nil
	}
	if err := g.fetch(ctx, missing); err != nil {
		return nil, err
	}
	return g.opt.Staging.Held(ctx, g.ID, blobs)
}

// without returns the blobs that are not among some; both come in the order of the hashes.
func without(blobs []formats.Blob, some []formats.Hash) (others []formats.Blob) {
	for _, b := range blobs {
		if len(some) > 0 && some[0] == b.SHA256 {
			some = some[1:]
		} else {
			others = append(others, b)
		}
	}
	return others
}

// folder holds large blobs that have come in part.
func (g *gathering) folder() string { return filepath.Join(g.opt.Dir, g.ID, "blobs") }

func (g *gathering) file(hash formats.Hash) string { return filepath.Join(g.folder(), hash.String()) }

// fetch has blobs come.
func (g *gathering) fetch(ctx context.Context, blobs []formats.Blob) (err error) {
	if err := g.tidy(blobs); err != nil {
		return err
	}
	target, err := g.opt.Staging.Target(ctx, g.ID, g.Person)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	stocking, can := target.(operators.Stocking)
	if !can {
		return fmt.Errorf("%w: this target takes no blobs by themselves", operators.ErrUnsupported)
	}
	stock, err := stocking.Stock(ctx)
	if err != nil {
		return fmt.Errorf("open the target: %w", err)
	}
	defer func() { err = errors.Join(err, stock.Close(ctx)) }()
	asking, stop := context.WithCancel(ctx)
	answers := g.ask(asking, g.parts(blobs))
	defer func() {
		stop()
		for a := range answers {
			a.close()
		}
	}()
	for a := range answers {
		if a.err != nil {
			return a.err
		}
		if err := g.unpack(ctx, stock, a); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// tidy removes what came in part of blobs that are not asked for any more.
func (g *gathering) tidy(blobs []formats.Blob) error {
	files, err := os.ReadDir(g.folder())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if !slices.ContainsFunc(blobs, func(b formats.Blob) bool { return b.SHA256.String() == f.Name() }) {
			if err := os.Remove(filepath.Join(g.folder(), f.Name())); err != nil {
				return err
			}
		}
	}
	return os.MkdirAll(g.folder(), 0o700)
}

// parts divides blobs into what is asked for at once.
func (g *gathering) parts(blobs []formats.Blob) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		var small part
		var bytes int64
		for _, b := range blobs {
			if b.Size > chunk {
				from, err := g.begun(b)
				for ; from < b.Size; from += chunk {
					if !yield(part{left: []formats.Blob{b}, from: from, to: min(from+chunk, b.Size)}, err) || err != nil {
						return
					}
				}
				continue
			}
			if bytes+b.Size > chunk {
				if !yield(small, nil) {
					return
				}
				small, bytes = part{}, 0
			}
			small.left, bytes = append(small.left, b), bytes+b.Size
		}
		if len(small.left) > 0 {
			yield(small, nil)
		}
	}
}

// begun is how many bytes of a large blob have come. Where all have, it was not taken in yet: with its last byte it is.
func (g *gathering) begun(b formats.Blob) (int64, error) {
	info, err := os.Stat(g.file(b.SHA256))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if info.Size() < b.Size {
		return info.Size(), nil
	}
	return b.Size - 1, os.Truncate(g.file(b.SHA256), b.Size-1)
}

// asked is what was asked for, and the answer to it.
type asked struct {
	part
	body io.ReadCloser
	err  error
}

func (a asked) close() {
	if a.err == nil {
		a.body.Close()
	}
}

// ask asks for parts, some at once, and gives the answers in the order of the parts. What comes of those that are not read yet
// waits in the kernel.
func (g *gathering) ask(ctx context.Context, parts iter.Seq2[part, error]) <-chan asked {
	answers := make(chan asked)
	waiting := make(chan chan asked, atOnce-2) // besides one that is read, and one that is waited for
	go func() {
		defer close(waiting)
		for p, err := range parts {
			one := make(chan asked, 1)
			select {
			case waiting <- one:
			case <-ctx.Done():
				return
			}
			if err != nil {
				one <- asked{p, nil, err}
				return
			}
			go func() {
				body, err := g.link.parcel(ctx, g.ID, p.wanted())
				one <- asked{p, body, err}
			}()
		}
	}()
	go func() {
		defer close(answers)
		for one := range waiting {
			answers <- <-one
		}
	}()
	return answers
}

// unpack stores what comes.
func (g *gathering) unpack(ctx context.Context, stock operators.Stock, a asked) error {
	in := &incoming{ctx: ctx, link: g.link, id: g.ID, identities: g.identities, part: a.part}
	defer in.close()
	if err := in.open(a.body); err != nil {
		if err := in.again(err); err != nil {
			return err
		}
	}
	for {
		b, size, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = g.store(ctx, stock, in, b)
		}
		if err != nil {
			return err
		}
		g.progress.Bytes += size
		g.show(ctx, g.progress)
		in.done()
	}
}

// store stores a blob, or a part of one. What is not what was asked for is dropped: archive 0 has it, or tells what became of it.
func (g *gathering) store(ctx context.Context, stock operators.Stock, in *incoming, b formats.Blob) (err error) {
	if in.to == 0 {
		_, err = stock.PutBlob(ctx, in, b)
		return err
	}
	last := in.to == b.Size
	if err := appendTo(g.file(b.SHA256), in.from, in); err != nil || !last {
		return err
	}
	_, err = stock.PutFile(ctx, g.file(b.SHA256), b)
	return err
}

// appendTo adds to a file that has so many bytes.
func appendTo(name string, size int64, content io.Reader) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("%w: it sends %s from byte %d on, of which %d have come", ErrAnswer, filepath.Base(name), size, info.Size())
	}
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, content, make([]byte, 128<<10))
	}
	return err
}

// mostBlobs is how many blobs a source may list for what its plan announced, and what the person adds meanwhile.
func mostBlobs(plan Plan) int64 { return growth>>16 + 2*plan.Total.Records }
