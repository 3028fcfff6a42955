package archive

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/extsort"
)

// Expectations are what the reader of an archive knows beforehand. The zero value expects nothing.
type Expectations struct {
	// Judge says who holds an archive key according to the statement in the archive, and whether that is trusted.
	// Without it every signer is unknown.
	Judge func(statement []byte, key ed25519.PublicKey, at time.Time) Signer
	// Recipient is the id of the operator that reads, "" for a person. An archive made for another operator is
	// refused; one made for the person is read by anybody who has it.
	Recipient string
	// Any reads archives whoever they were made for, and expired ones too: to look, not to load.
	Any bool
	Now time.Time
	// Progress is told the contents' bytes as they are read.
	Progress func(bytes int64)
}

// Verified is an archive whose every byte was checked. Its records wait in a temporary folder; its blobs are read
// from the archive again.
type Verified struct {
	Report  Report
	archive *Archive
	dir     string
	records map[formats.Dataset]*spool
	blobs   *spool // hash and size of each blob, in the order in which they are carried
	leftOut *spool // and of those that are not, see [Verified.LeftOut]; nil: there are none
}

// Close removes the temporary files.
func (v *Verified) Close() error { return os.RemoveAll(v.dir) }

// Close closes the archive.
func (a *Archive) Close() error {
	if z, ok := a.carried.(*zipped); ok {
		return z.file.Close()
	}
	return nil
}

// Verify reads the whole archive once and checks everything: structure, every hash, signatures, claims, counts, and
// that records and blobs belong together. Faults are in the report; an error means that reading could not go on,
// which is a fault as well if it wraps [ErrFault]. Temporary files go into tmp ("" for the system's folder).
func (a *Archive) Verify(ctx context.Context, tmp string, want Expectations) (*Verified, error) {
	dir, err := os.MkdirTemp(tmp, "passerelle-verify-")
	if err != nil {
		return nil, fmt.Errorf("create a temporary folder: %w", err)
	}
	v := &Verified{archive: a, dir: dir, records: map[formats.Dataset]*spool{}}
	c, err := newCheck(v, want)
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil && !errors.Is(err, ErrFault) {
		return nil, errors.Join(err, v.Close())
	}
	if err != nil {
		v.Report.faultf("unreadable", "", "%v", trimFault(err))
	}
	if len(v.Report.Faults) > 0 && err == nil {
		a.blame(&v.Report)
	}
	v.Report.Intact = len(v.Report.Faults) == 0
	return v, nil
}

// trimFault drops the sentence that the report says anyway.
func trimFault(err error) string { return strings.ReplaceAll(err.Error(), ErrFault.Error()+": ", "") }

// check is one verification under way.
type check struct {
	*Verified
	want Expectations
	root string // the bag's folder, with a slash

	listed *extsort.Sorter // from the manifest: path NUL hash
	seen   *extsort.Sorter // payload files: path NUL hash
	named  *extsort.Sorter // blobs that records name: hash and size
	held   *extsort.Sorter // blobs that are there: hash and size
	states *extsort.Sorter

	tags    map[string]formats.Hash // tag files that are there
	kept    map[string][]byte       // the small ones whose contents matter
	counts  map[formats.Dataset]*DatasetClaim
	payload formats.Count
	absents LeftOut // blobs that are not there although records name them

	digest hash.Hash
	buf    []byte
	line   []byte
}

// keptFiles are the tag files whose contents are looked into, with the most bytes that they may have.
var keptFiles = map[string]int64{
	bagitFile: 1 << 10, bagInfoFile: 1 << 20, claimsFile: 256 << 20, tagManifestFile: 16 << 20,
	rawSigFile: 1 << 10, minisigFile: 4 << 10, pemFile: 4 << 10, minisignPubFile: 4 << 10, statementFile: 1 << 20,
}

const maxTagFiles = 10_000

func newCheck(v *Verified, want Expectations) (*check, error) {
	if want.Now.IsZero() {
		want.Now = time.Now()
	}
	blobs, err := newSpool(v.dir, "blobs")
	v.blobs = blobs
	sorter := func() *extsort.Sorter { return extsort.New(v.dir, sortMemory) }
	return &check{
		Verified: v, want: want,
		listed: sorter(), seen: sorter(), named: sorter(), held: sorter(), states: sorter(),
		tags: map[string]formats.Hash{}, kept: map[string][]byte{}, counts: map[formats.Dataset]*DatasetClaim{},
		digest: sha256.New(), buf: make([]byte, copyChunk),
	}, err
}

func (c *check) run(ctx context.Context) error {
	defer c.close()
	if err := c.archive.walk(ctx, c.visit, c.Report.fault); err != nil {
		return err
	}
	c.Report.Repacked = c.archive.repacked()
	if c.root == "" {
		return fmt.Errorf("%w: it holds no file", ErrFault)
	}
	if err := c.manifest(); err != nil {
		return err
	}
	c.tagManifest()
	c.bag()
	c.signature()
	if !c.claims() {
		return nil
	}
	return c.contents()
}

func (c *check) close() {
	for _, s := range []*extsort.Sorter{c.listed, c.seen, c.named, c.held, c.states} {
		s.Close() // only removes temporary files, which Verified.Close would remove as well
	}
}

// visit takes in one file of the bag.
func (c *check) visit(e *entry) error {
	name, err := c.inBag(e.name)
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, dataDir) {
		return c.payloadFile(name, e)
	}
	return c.tagFile(name, e)
}

// inBag returns the path of a file below the bag's folder, which all files share.
func (c *check) inBag(name string) (string, error) {
	if err := checkPath(name); err != nil {
		return "", fmt.Errorf("%w: %v", ErrFault, err)
	}
	root, inside, ok := strings.Cut(name, "/")
	if !ok {
		return "", fmt.Errorf("%w: %s is outside the bag's folder", ErrFault, name)
	}
	if c.root == "" {
		c.root = root
	}
	if c.root != root {
		return "", fmt.Errorf("%w: it holds two folders, %s and %s: one archive at a time", ErrFault, c.root, root)
	}
	return inside, nil
}

func (c *check) payloadFile(name string, e *entry) error {
	out := io.Discard
	dataset, isRecords := recordsOf(name)
	if isRecords && c.records[dataset] == nil {
		s, err := newSpool(c.dir, "records-"+string(dataset))
		if err != nil {
			return err
		}
		c.records[dataset] = s
		out = s.file
	}
	hash, size, err := c.hash(out, e)
	if err != nil {
		return err
	}
	c.payload.Files++
	c.payload.Bytes += size
	if err := c.seen.Add(pair(&c.line, name, hash)); err != nil {
		return err
	}
	if !holdsBlob(name) {
		return nil
	}
	if err := c.blobs.write(blobKey(&c.line, hash, size)); err != nil {
		return err
	}
	return c.held.Add(c.line)
}

// recordsOf returns the dataset whose records a payload file holds.
func recordsOf(name string) (formats.Dataset, bool) {
	folder, ok := strings.CutSuffix(strings.TrimPrefix(name, dataDir), "/"+recordsFile)
	if !ok {
		return "", false
	}
	d, err := formats.ParseDataset(folder)
	return d, err == nil
}

// pair makes "name NUL hash" in buf.
func pair(buf *[]byte, name string, hash formats.Hash) []byte {
	*buf = append(append((*buf)[:0], name...), 0)
	*buf = append(*buf, hash[:]...)
	return *buf
}

// blobKey makes the fixed-length key of a blob, hash and size, in buf.
func blobKey(buf *[]byte, hash formats.Hash, size int64) []byte {
	*buf = append((*buf)[:0], hash[:]...)
	for shift := 56; shift >= 0; shift -= 8 {
		*buf = append(*buf, byte(size>>shift))
	}
	return *buf
}

const blobKeySize = 32 + 8

func parseBlobKey(key []byte) formats.Blob {
	b := formats.Blob{SHA256: formats.Hash(key[:32])}
	for _, c := range key[32:blobKeySize] {
		b.Size = b.Size<<8 | int64(c)
	}
	return b
}

// hash reads a file to its end.
func (c *check) hash(out io.Writer, e *entry) (formats.Hash, int64, error) {
	c.digest.Reset()
	var total int64
	for {
		n, err := e.body.Read(c.buf)
		c.digest.Write(c.buf[:n])
		total += int64(n)
		if out != io.Discard {
			if _, errWrite := out.Write(c.buf[:n]); errWrite != nil {
				return formats.Hash{}, total, fmt.Errorf("write a temporary file: %w", errWrite)
			}
		}
		if c.want.Progress != nil {
			c.want.Progress(int64(n))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return formats.Hash{}, total, err
		}
	}
	if total != e.size {
		return formats.Hash{}, total, fmt.Errorf("%w: %s has %d bytes, %d were announced", ErrFault, e.name, total, e.size)
	}
	e.hash = sum(c.digest)
	return e.hash, total, nil
}

func (c *check) tagFile(name string, e *entry) error {
	if _, twice := c.tags[name]; twice {
		return fmt.Errorf("%w: %s is there twice", ErrFault, name)
	}
	if len(c.tags) == maxTagFiles {
		return fmt.Errorf("%w: more than %d files outside data/", ErrFault, maxTagFiles)
	}
	if name == manifestFile {
		return c.readManifest(e)
	}
	var out io.Writer = io.Discard
	var buf bytes.Buffer
	if limit, keep := keptFiles[name]; keep {
		if e.size > limit {
			return fmt.Errorf("%w: %s is larger than %d bytes", ErrFault, name, limit)
		}
		out = &buf
	}
	hash, _, err := c.hash(out, e)
	c.tags[name] = hash
	if out == &buf {
		c.kept[name] = buf.Bytes()
	}
	return err
}

// readManifest takes in manifest-sha256.txt as it passes.
func (c *check) readManifest(e *entry) error {
	c.digest.Reset()
	for line, err := range lines(io.TeeReader(e.body, c.digest)) {
		if err != nil {
			if errors.Is(err, formats.ErrInvalid) {
				err = fmt.Errorf("%w: %s: %v", ErrFault, manifestFile, err)
			}
			return err
		}
		hash, name, ok := parseManifestLine(line)
		if !ok || !strings.HasPrefix(name, dataDir) {
			return fmt.Errorf("%w: %s: %.100q is not a line of a manifest", ErrFault, manifestFile, line)
		}
		if err := c.listed.Add(pair(&c.line, name, hash)); err != nil {
			return err
		}
	}
	e.hash = sum(c.digest)
	c.tags[manifestFile] = e.hash
	return nil
}

func parseManifestLine(line []byte) (formats.Hash, string, bool) {
	if len(line) < 67 || line[64] != ' ' || line[65] != ' ' {
		return formats.Hash{}, "", false
	}
	var hash formats.Hash
	err := hash.UnmarshalText(line[:64])
	return hash, string(line[66:]), err == nil
}
