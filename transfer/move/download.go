package move

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
)

// download fetches the files of one archive, in parts, some of them at once. What is there already is not fetched again:
// of each file a list is kept of the parts that have come, so that a process that dies loses no more than those that were
// under way.
type download struct {
	link *Link
	id   string
	n    int
	dir  string
	most int64 // bytes of all files that are taken; see admits
	tell func(bytes int64)

	got atomic.Int64
}

const (
	atOnce     = 3 // parts; with chunk, what is fetched again after a kill
	partsAfter = ".parts"
	newAfter   = ".new"
)

// run fetches the files, one after the other.
func (d *download) run(ctx context.Context, files []File) error {
	if err := d.admits(files); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if err := d.file(ctx, f); err != nil {
			return fmt.Errorf("fetch %s: %w", f.Name, err)
		}
	}
	return nil
}

// fileName is the form of the names of an archive's files.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)

// admits refuses what nobody packs: names that are more than names, more bytes than were announced, a file for each few
// bytes of them. Nobody fills the disk of another operator.
func (d *download) admits(files []File) error {
	var total int64
	seen := map[string]bool{}
	for _, f := range files {
		own := strings.HasSuffix(f.Name, partsAfter) || strings.HasSuffix(f.Name, newAfter)
		if !fileName.MatchString(f.Name) || own || seen[f.Name] || f.Size < 0 {
			return fmt.Errorf("%w: it names a file %.100q of %d bytes", ErrAnswer, f.Name, f.Size)
		}
		seen[f.Name] = true
		if total += f.Size; f.Size > d.most || total > d.most {
			return fmt.Errorf("%w: archive %d has more than %d bytes, which is much more than it announced; if the instance grew meanwhile, stop the move and begin again", ErrAnswer, d.n, d.most)
		}
	}
	if int64(len(files)) > fewFiles+d.most/leastVolume {
		return fmt.Errorf("%w: archive %d has %d files", ErrAnswer, d.n, len(files))
	}
	return nil
}

// mostBytes is how many bytes an archive may have for what a plan announced: bodies of records beside the blobs, what comes
// with encryption, and what the person adds meanwhile.
func mostBytes(plan Plan) int64 {
	return growth + 2*plan.Total.Bytes + 64<<10*plan.Total.Records
}

const (
	growth      = 1 << 30
	leastVolume = 1 << 20 // bytes for which a file more is taken
	fewFiles    = 16
)

// file fetches one file.
func (d *download) file(ctx context.Context, f File) (err error) {
	name := filepath.Join(d.dir, f.Name)
	if info, err := os.Stat(name); err == nil && info.Size() == f.Size {
		d.told(f.Size)
		return nil
	}
	out, err := os.OpenFile(name+newAfter, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	list, err := os.OpenFile(name+partsAfter, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	missing, err := d.missing(list, f)
	if err != nil {
		return err
	}
	if err := d.parts(ctx, f, missing, out, list); err != nil {
		return err
	}
	if err := errors.Join(out.Truncate(f.Size), out.Sync(), os.Rename(name+newAfter, name), os.Remove(name+partsAfter)); err != nil {
		return err
	}
	return nil
}

// missing lists the parts that have not come yet.
func (d *download) missing(list *os.File, f File) (parts []int64, err error) {
	text, err := io.ReadAll(list)
	if err != nil {
		return nil, err
	}
	if rest := len(text) % 8; rest > 0 { // of an entry that was being written when the process died
		if err := list.Truncate(int64(len(text) - rest)); err != nil {
			return nil, err
		}
	}
	have := map[int64]bool{}
	for ; len(text) >= 8; text = text[8:] {
		have[int64(binary.BigEndian.Uint64(text))] = true
	}
	for from := int64(0); from < f.Size; from += chunk {
		if have[from] {
			d.told(min(chunk, f.Size-from))
		} else {
			parts = append(parts, from)
		}
	}
	return parts, nil
}

// parts fetches parts, some at once.
func (d *download) parts(ctx context.Context, f File, parts []int64, out, list *os.File) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var under sync.WaitGroup
	var mu sync.Mutex
	next := make(chan int64)
	for range min(atOnce, len(parts)) {
		under.Go(func() {
			for from := range next {
				if err := d.part(ctx, f, from, min(chunk, f.Size-from), out, list, &mu); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, from := range parts {
		select {
		case next <- from:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	under.Wait()
	return context.Cause(ctx)
}

// leastProgress is with how many bytes an answer that was cut is worth going on from at once.
const leastProgress = 16 << 10

// part fetches one part, and then writes down that it has come.
func (d *download) part(ctx context.Context, f File, from, size int64, out, list *os.File, mu *sync.Mutex) error {
	// Something in between may cut each answer after some time or some bytes: what came of it is not asked for again.
	for at, end := from, from+size; at < end; {
		came, err := d.link.part(ctx, d.id, d.n, f.Name, at, end-at, io.NewOffsetWriter(out, at))
		if at += came; err != nil && (came < leastProgress || ctx.Err() != nil || !errors.Is(err, ErrUnreachable)) {
			return err
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if _, err := list.Write(binary.BigEndian.AppendUint64(nil, uint64(from))); err != nil {
		return err
	}
	d.told(size)
	return nil
}

func (d *download) told(n int64) { d.tell(d.got.Add(n)) }
