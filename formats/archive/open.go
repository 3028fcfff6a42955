package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/passerelle-cloud/passerelle/formats"
)

// OpenOptions says how an archive is opened.
type OpenOptions struct {
	// Identities decrypt an encrypted archive: the operator's age key, or a passphrase.
	Identities []age.Identity
	// MaxExpansion refuses a compressed archive that grows by more than this factor once it has given a gigabyte.
	// 0 means 1000; below 0 means no limit.
	MaxExpansion int64
}

// Archive is an archive that was found, but of which nothing is known yet: see [Archive.Verify].
type Archive struct {
	paths []string
	carried
	index *volumeIndex // nil for a zip, a folder, or volumes that came without one
}

// carried is what the files of a bag are read from: tar volumes, a zip, or a folder.
type carried interface {
	// walk visits each file in turn. What is wrong with the carriage but does not keep it from being read further is
	// given to fault.
	walk(ctx context.Context, visit func(*entry) error, fault func(Fault)) error
	// repacked reports, after a walk, whether somebody else packed this bag.
	repacked() bool
}

// entry is a file of a bag.
type entry struct {
	name string // with the bag's folder
	size int64
	body io.Reader
	hash formats.Hash // of the contents; set by a visitor that hashed them
}

// Open finds the archive that the paths name: the index of an archive in volumes, any or all of its volumes, a zip,
// or the folder of an unpacked bag. Given one volume, the others are looked for beside it.
func Open(paths []string, opts OpenOptions) (*Archive, error) {
	if len(paths) == 0 {
		return nil, errors.New("name an archive: its .zip, its .index.json, or its volumes")
	}
	if opts.MaxExpansion == 0 {
		opts.MaxExpansion = 1000
	}
	if len(paths) == 1 {
		info, err := os.Stat(paths[0])
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return &Archive{paths: paths, carried: &folder{root: paths[0]}}, nil
		}
	}
	indexed, err := findIndex(paths)
	if err != nil || indexed != nil {
		if indexed != nil {
			indexed.carried.(*volumes).opts = opts
		}
		return indexed, err
	}
	if len(paths) == 1 {
		zipped, err := openZip(paths[0], opts)
		if err != nil || zipped != nil {
			return &Archive{paths: paths, carried: zipped}, err
		}
	}
	sorted := slices.Clone(paths)
	slices.Sort(sorted)
	return &Archive{paths: sorted, carried: &volumes{paths: sorted, opts: opts}}, nil
}

// Size is about how many bytes are to be read, to tell people how long it takes: those of the files that carry the
// archive. It is 0 for a folder.
func (a *Archive) Size() int64 {
	paths := a.paths
	if v, ok := a.carried.(*volumes); ok {
		paths = v.paths
	}
	var total int64
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			total += info.Size()
		}
	}
	return total
}

// findIndex looks for the index that was named, or that stands beside the volumes that were named.
func findIndex(paths []string) (*Archive, error) {
	name := ""
	for _, p := range paths {
		if strings.HasSuffix(p, indexSuffix) {
			name = p
		}
	}
	if name == "" {
		if name = indexBeside(paths[0]); name == "" {
			return nil, nil
		}
	}
	index, err := readIndex(name)
	if err != nil {
		return nil, err
	}
	found, err := index.locate(filepath.Dir(name), paths)
	if err != nil {
		return nil, err
	}
	return &Archive{paths: found, index: index, carried: &volumes{paths: found, listed: index.Volumes}}, nil
}

// indexBeside returns the index that should stand beside a volume, if there is one.
func indexBeside(volume string) string {
	dir, base := filepath.Split(volume)
	i := strings.LastIndex(base, ".tar")
	if i < 5 || base[i-5] != '-' {
		return ""
	}
	name := filepath.Join(dir, base[:i-5]+indexSuffix)
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}

// locate returns where each listed volume is: among the named paths, or beside the index.
func (x *volumeIndex) locate(dir string, named []string) ([]string, error) {
	known := map[string]string{}
	for _, p := range named {
		known[filepath.Base(p)] = p
	}
	delete(known, x.Name+indexSuffix)
	var found []string
	var faults []error
	for _, v := range x.Volumes {
		path, ok := known[v.Name]
		if !ok {
			path = filepath.Join(dir, v.Name)
		}
		delete(known, v.Name)
		info, err := os.Stat(path)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("%w: volume %s is missing: get it again from where the archive came from", ErrFault, v.Name))
		case info.Size() != v.Size:
			faults = append(faults, fmt.Errorf("%w: volume %s has %d bytes, its index says %d: it is truncated, or from another export", ErrFault, v.Name, info.Size(), v.Size))
		}
		found = append(found, path)
	}
	for name := range known {
		faults = append(faults, fmt.Errorf("%w: %s is not a volume of this archive", ErrFault, name))
	}
	return found, errors.Join(faults...)
}

var (
	ageMagic  = []byte("age-encryption.org/")
	zipMagic  = []byte("PK\x03\x04")
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// ErrLocked is returned for an encrypted archive that none of the given identities opens.
var ErrLocked = errors.New("the archive is encrypted, and not to a key or passphrase that was given")

// plainStream undoes encryption and compression of a volume, which it recognises by their first bytes.
func plainStream(f io.Reader, opts OpenOptions) (io.Reader, func(), error) {
	in := bufio.NewReaderSize(f, copyChunk)
	done := func() {}
	if head, _ := in.Peek(len(ageMagic)); bytes.Equal(head, ageMagic) {
		plain, err := decrypt(in, opts.Identities)
		if err != nil {
			return nil, done, err
		}
		beside := readBeside(plain)
		in, done = beside.Reader, beside.close
	}
	if head, _ := in.Peek(len(zstdMagic)); bytes.Equal(head, zstdMagic) {
		counted := &countingReader{r: in}
		z, err := zstd.NewReader(counted, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, done, fmt.Errorf("%w: %v", ErrFault, err)
		}
		close := func() {
			done()
			z.Close()
		}
		return &bombGuard{out: z, in: counted, factor: opts.MaxExpansion}, close, nil
	}
	return in, done, nil
}

func decrypt(in io.Reader, identities []age.Identity) (io.Reader, error) {
	if len(identities) == 0 {
		return nil, fmt.Errorf("%w: give --identity or --passphrase-file", ErrLocked)
	}
	plain, err := age.Decrypt(in, identities...)
	if err == nil {
		return plain, nil
	}
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("%w: decrypt: %v", ErrFault, err)
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bombGuard stops a stream that grows out of proportion.
type bombGuard struct {
	out    io.Reader
	in     *countingReader
	given  int64
	factor int64
}

const bombFloor = 1 << 30

func (b *bombGuard) Read(p []byte) (int, error) {
	n, err := b.out.Read(p)
	b.given += int64(n)
	if b.factor > 0 && b.given > bombFloor && b.given/b.factor > b.in.n {
		return 0, fmt.Errorf("%w: it unpacks to more than %d times its size, as a decompression bomb does; raise --max-expansion if you trust it", ErrFault, b.factor)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: decompress: %v", ErrFault, err)
	}
	return n, err
}

// Group tells apart the archives that a list of paths names: each index, zip or folder is one, and volumes that share
// their name are one together. The order in which they were named stays.
func Group(paths []string) [][]string {
	var groups [][]string
	where := map[string]int{}
	for _, p := range paths {
		var key string
		if i := strings.LastIndex(p, ".tar"); i > 5 && p[i-5] == '-' {
			key = p[:i-5]
		} else {
			key = strings.TrimSuffix(p, indexSuffix)
		}
		if i, ok := where[key]; ok {
			groups[i] = append(groups[i], p)
			continue
		}
		where[key] = len(groups)
		groups = append(groups, []string{p})
	}
	return groups
}

// WantsPassphrase reports whether a passphrase, rather than a key, opens what the first of the paths names.
func WantsPassphrase(paths []string) (bool, error) {
	name := paths[0]
	if index, err := findIndex(paths); err == nil && index != nil {
		name = index.paths[0]
	}
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && n == 0 {
		return false, nil // a folder, or an empty file: opening it will say so
	}
	return bytes.HasPrefix(head[:n], ageMagic) && bytes.Contains(head[:n], []byte("\n-> scrypt ")), nil
}
