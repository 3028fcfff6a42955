package archive

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"io/fs"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/text/unicode/norm"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/extsort"
)

// Options says what is written, where, and who signs it.
type Options struct {
	// Out is where the archive goes: a name ending in ".zip" gives one zip, any other name gives tar volumes
	// NAME-0001.tar … with a signed index NAME.index.json. A final ".tar" is dropped from NAME.
	Out        string
	VolumeSize int64           // bytes of a volume; 0 means 1 GiB. A larger file gets a volume of its own
	Zstd       bool            // compress volumes
	Recipients []age.Recipient // encrypt to them; none: not encrypted

	Signer    crypto.Signer // the operator's Ed25519 archive key
	Statement []byte        // the operator's signed statement
	Claims    Claims        // with everything but counts, state root, statement and omissions filled in
	Owner     string        // the person's name, for the README
	Locale    string        // the person's language: README.txt begins with it

	Codecs  []formats.Codec // open formats to add beside the records
	Schemas fs.FS           // JSON Schemas of the bodies, to explain the records
	// Held reports whether the recipient holds the bytes of a blob already, which a full archive then leaves out; nil: of none.
	Held func(formats.Hash) bool
	// State returns the state root of the whole instance where the archive is a delta; for sequence 0 it is computed from the records.
	State func() (formats.Hash, error)
}

// Sealed is what a finished archive is.
type Sealed struct {
	Claims  Claims       `json:"claims"`
	Root    formats.Hash `json:"root"` // SHA-256 of tagmanifest-sha256.txt
	Volumes []Volume     `json:"volumes"`
	Files   []string     `json:"files"` // every file written, the index and its signature included; the last one last
}

// Writer writes an archive in one pass. Everything goes into the folder OUT.partial, which is renamed away or removed
// at the end: under its final name there is a whole archive or nothing.
type Writer struct {
	opts    Options
	pub     []byte
	partial *partialDir
	out     carrier
	root    string // name of the bag's folder, with a slash

	manifest *spool
	tags     []tagLine
	spools   map[formats.Dataset]*spool
	counts   map[formats.Dataset]*DatasetClaim
	states   *extsort.Sorter
	blobs    map[formats.Hash]bool // of a delta: carried already; of a full archive: left out
	names    map[uint64]struct{}   // hashes of the stored paths
	seed     maphash.Seed

	omissions []formats.Omission
	payload   formats.Count // files and bytes below data/
	buf       []byte        // for copying
	line      []byte        // the record being encoded
	payLine   []byte
	digest    hash.Hash
}

type tagLine struct {
	name string
	hash formats.Hash
}

const (
	defaultVolume = 1 << 30
	sortMemory    = 2 << 20
)

// ErrBytes is returned for bytes that are not those of their record.
var ErrBytes = errors.New("the bytes are not those that the record names")

// Create begins an archive.
func Create(opts Options) (*Writer, error) {
	if opts.VolumeSize <= 0 {
		opts.VolumeSize = defaultVolume
	}
	pub, err := publicKey(opts.Signer)
	if err != nil {
		return nil, err
	}
	opts.Claims.Format, opts.Claims.Statement = Format, formats.HashOf(opts.Statement)
	partial, err := openPartial(opts.Out)
	if err != nil {
		return nil, err
	}
	w := &Writer{
		opts: opts, pub: pub, partial: partial, root: bagName(opts) + "/",
		spools: map[formats.Dataset]*spool{}, counts: map[formats.Dataset]*DatasetClaim{},
		states: extsort.New(partial.path, sortMemory),
		blobs:  map[formats.Hash]bool{}, names: map[uint64]struct{}{}, seed: maphash.MakeSeed(),
		buf: make([]byte, copyChunk), digest: sha256.New(),
	}
	if err := w.begin(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

// bagName is the name of the folder that the bag unpacks to: zoe-martin-2026-11-23-0 for Zoé Martin.
func bagName(opts Options) string {
	owner := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, norm.NFD.String(strings.Join(strings.Fields(strings.ToLower(opts.Owner)), "-")))
	if owner == "" {
		owner = "instance"
	}
	return fmt.Sprintf("%.60s-%s-%d", owner, opts.Claims.Created.UTC().Format(time.DateOnly), opts.Claims.Sequence)
}

func (w *Writer) begin() (err error) {
	if w.manifest, err = newSpool(w.partial.path, "manifest"); err != nil {
		return err
	}
	base := w.partial.base
	if name, zipped := strings.CutSuffix(base, ".zip"); zipped {
		if w.opts.Zstd {
			return errors.New("a zip archive is not compressed with zstd: choose volumes, or leave --zstd out")
		}
		if w.out, err = newZipFile(w.partial.path, name+".zip", w.opts.Recipients); err != nil {
			return err
		}
	} else {
		w.out = &tarVolumes{dir: w.partial.path, base: base, limit: w.opts.VolumeSize, zstd: w.opts.Zstd, recipients: w.opts.Recipients}
	}
	if err := w.tag(bagitFile, []byte(bagitText)); err != nil {
		return err
	}
	text, err := readme(&w.opts, w.root)
	if err != nil {
		return fmt.Errorf("%s: %w", readmeFile, err)
	}
	if err := w.tag(readmeFile, text); err != nil {
		return err
	}
	return w.schemas()
}

// Add writes a record and the bytes of its blob. A blob of unknown hash is hashed on the way; one whose bytes are not
// what the record says is an error. In a delta, content may be nil where the receiver has the blob already. Bytes that
// the recipient holds are not read.
func (w *Writer) Add(record formats.Record, content func() (io.ReadCloser, error)) error {
	left := record.Blob != nil && w.leaveOut(record.Blob)
	if record.Blob != nil && content != nil && !left {
		blob := *record.Blob
		record.Blob = &blob
		if err := w.addBlob(&record, content); err != nil {
			return fmt.Errorf("%s/%s: %w", record.Dataset, cmpPath(&record), err)
		}
	}
	if record.Blob != nil && (record.Blob.SHA256.IsZero() || content == nil && w.opts.Claims.Sequence == 0 && !left) {
		return fmt.Errorf("%s/%s: its bytes are not there to be written", record.Dataset, cmpPath(&record))
	}
	line, err := record.AppendLine(w.line[:0])
	if err != nil {
		return err
	}
	w.line = line
	w.count(&record)
	if err := w.addState(&record, line); err != nil {
		return err
	}
	if err := w.addDocument(record); err != nil {
		return err
	}
	dataset, err := w.spool(record.Dataset)
	if err != nil {
		return err
	}
	return dataset.write(append(line, '\n'))
}

func cmpPath(r *formats.Record) string {
	if r.Path != "" {
		return r.Path
	}
	return r.ID
}

func (w *Writer) addState(record *formats.Record, line []byte) error {
	if w.opts.State != nil || !record.Deleted.IsZero() {
		return nil
	}
	state := formats.State{Dataset: record.Dataset, ID: record.ID, Record: formats.HashOf(line)}
	if record.Blob != nil {
		state.Blob = record.Blob.SHA256
	}
	w.payLine = state.AppendLine(w.payLine[:0])
	return w.states.Add(w.payLine)
}

func (w *Writer) count(record *formats.Record) {
	claim := w.counts[record.Dataset]
	if claim == nil {
		claim = &DatasetClaim{Dataset: record.Dataset}
		w.counts[record.Dataset] = claim
	}
	if !record.Deleted.IsZero() {
		claim.Tombstones++
		return
	}
	claim.Records++
	if record.Blob != nil {
		claim.Files++
		claim.Bytes += record.Blob.Size
	}
}

func (w *Writer) addBlob(record *formats.Record, content func() (io.ReadCloser, error)) error {
	name := storedPath(record)
	if w.opts.Claims.Sequence > 0 {
		if record.Blob.SHA256.IsZero() {
			return errors.New("a delta needs to know the hash of a blob beforehand")
		}
		if w.blobs[record.Blob.SHA256] {
			return nil
		}
		w.blobs[record.Blob.SHA256] = true
		name = deltaBlobsDir + record.Blob.SHA256.String()
	} else if !w.claim(name) {
		if name = asidePath(record); !w.claim(name) {
			return errors.New("it was read twice")
		}
	}
	in, err := content()
	if err != nil {
		return err
	}
	defer in.Close()
	hash, err := w.file(name, record.Blob.Size, record.Modified, in)
	if err != nil {
		return err
	}
	if want := record.Blob.SHA256; !want.IsZero() && want != hash {
		return fmt.Errorf("%w: they have the SHA-256 %s, the record says %s", ErrBytes, hash, want)
	}
	record.Blob.SHA256 = hash
	return nil
}

// claim takes a stored path for a file and reports whether nobody had it. Only a hash is kept: a false clash merely
// sets a file aside under another path.
func (w *Writer) claim(name string) bool {
	key := maphash.String(w.seed, name)
	_, taken := w.names[key]
	w.names[key] = struct{}{}
	return !taken
}

// file writes a payload file and its manifest line.
func (w *Writer) file(name string, size int64, modified time.Time, in io.Reader) (formats.Hash, error) {
	if modified.IsZero() {
		modified = w.opts.Claims.Created
	}
	out, err := w.out.create(w.root+name, size, modified)
	if err != nil {
		return formats.Hash{}, err
	}
	w.digest.Reset()
	n, err := w.copy(out, in)
	if err != nil {
		return formats.Hash{}, err
	}
	if n != size {
		return formats.Hash{}, fmt.Errorf("%w: there are %d, %d were expected", ErrBytes, n, size)
	}
	w.payload.Files++
	w.payload.Bytes += size
	hash := sum(w.digest)
	w.payLine = appendManifestLine(w.payLine[:0], hash, name)
	return hash, errors.Join(w.out.end(hash), w.manifest.write(w.payLine))
}

func appendManifestLine(dst []byte, hash formats.Hash, name string) []byte {
	dst = hash.Append(dst)
	dst = append(dst, "  "...)
	dst = append(dst, name...)
	return append(dst, '\n')
}

// copy copies and hashes.
func (w *Writer) copy(out io.Writer, in io.Reader) (int64, error) {
	if from, ok := in.(interface {
		io.WriterTo
		io.Seeker
		Len() int
	}); ok { // bytes in memory: no need to copy them once more
		return from.WriteTo(io.MultiWriter(w.digest, out))
	}
	var total int64
	for {
		n, err := in.Read(w.buf)
		w.digest.Write(w.buf[:n])
		if _, errWrite := out.Write(w.buf[:n]); errWrite != nil {
			return total, fmt.Errorf("write: %w", errWrite)
		}
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// tag writes a tag file and remembers it for the tag manifest.
func (w *Writer) tag(name string, data []byte) error {
	w.tags = append(w.tags, tagLine{name, formats.HashOf(data)})
	return w.plain(name, data)
}

// plain writes a file that no manifest lists.
func (w *Writer) plain(name string, data []byte) error {
	out, err := w.out.create(w.root+name, int64(len(data)), w.opts.Claims.Created)
	if err != nil {
		return err
	}
	if _, err := out.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return w.out.end(formats.HashOf(data))
}

// Omit notes what could not be carried.
func (w *Writer) Omit(o formats.Omission) { w.omissions = append(w.omissions, o) }

// addDocument writes the open formats that give each record a file of its own.
func (w *Writer) addDocument(record formats.Record) error {
	if w.opts.Claims.Sequence > 0 || !record.Deleted.IsZero() {
		return nil
	}
	for _, codec := range w.opts.Codecs {
		if codec.Dataset != record.Dataset || codec.Name == nil || codec.Name(record) == "" {
			continue
		}
		var buf bytes.Buffer
		if err := codec.Encode(&buf, one(record)); err != nil {
			w.Omit(unencodable(codec.MediaType, record, err))
			continue
		}
		r := formats.Record{ID: record.ID, Dataset: record.Dataset, Path: "markdown/" + codec.Name(record)}
		name := storedPath(&r)
		if !w.claim(name) {
			continue // the record itself is in records.ndjson all the same
		}
		if _, err := w.file(name, int64(buf.Len()), record.Modified, &buf); err != nil {
			return err
		}
	}
	return nil
}

func one(record formats.Record) formats.Records {
	return func(yield func(formats.Record, error) bool) { yield(record, nil) }
}

func unencodable(mediaType string, record formats.Record, err error) formats.Omission {
	return formats.Omission{
		Dataset: record.Dataset, ID: record.ID, Path: record.Path, Code: "open-format",
		Reason: fmt.Sprintf("it could not be written as %s: %v", mediaType, err),
		Advice: "The record itself is whole in records.ndjson.",
	}
}

// spool returns the file in which the lines of a dataset wait until their number is known.
func (w *Writer) spool(d formats.Dataset) (*spool, error) {
	if s := w.spools[d]; s != nil {
		return s, nil
	}
	s, err := newSpool(w.partial.path, "records-"+string(d))
	w.spools[d] = s
	return s, err
}
