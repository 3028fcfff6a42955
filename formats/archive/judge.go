package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// manifest compares what is there with what the manifest lists. Both come sorted by path.
func (c *check) manifest() error {
	if _, ok := c.tags[manifestFile]; !ok {
		c.Report.faultf("missing", manifestFile, "it is missing: this is not a BagIt bag, or it was cut")
		return nil
	}
	return merge(c.listed.Sorted(), c.seen.Sorted(), func(listed, seen [][]byte) {
		if len(seen) == 1 && len(listed) == 1 && bytes.Equal(listed[0], seen[0]) {
			return
		}
		name, _ := splitPair(append(listed, seen...)[0])
		switch {
		case len(seen) == 0:
			c.Report.faultf("missing", name, "the manifest lists it, but it is missing")
		case len(listed) == 0:
			c.Report.faultf("unlisted", name, "it is not in the manifest")
		case len(seen) > 1 || len(listed) > 1:
			c.Report.faultf("duplicate", name, "it is there, or listed, more than once")
		default:
			c.Report.faultf("hash", name, "its contents were changed: they do not have the SHA-256 that the manifest lists")
		}
	})
}

func splitPair(line []byte) (name string, hash []byte) {
	key, hash, _ := bytes.Cut(line, []byte{0})
	return string(key), hash
}

// merge walks two sorted sequences together and calls visit with the lines of each that share a key, which is what
// stands before the NUL; at most two of each.
func merge(a, b iter.Seq2[[]byte, error], visit func(a, b [][]byte)) error {
	left, right := newGroups(a), newGroups(b)
	defer left.stop()
	defer right.stop()
	for {
		if err := errors.Join(left.err, right.err); err != nil {
			return err
		}
		if left.line == nil && right.line == nil {
			return nil
		}
		order := compareGroups(left, right)
		var inA, inB [][]byte
		if order <= 0 {
			inA = left.take()
		}
		if order >= 0 {
			inB = right.take()
		}
		visit(inA, inB)
	}
}

func compareGroups(a, b *groups) int {
	switch {
	case a.line == nil:
		return 1
	case b.line == nil:
		return -1
	}
	return bytes.Compare(keyOf(a.line), keyOf(b.line))
}

func keyOf(line []byte) []byte { return line[:max(bytes.IndexByte(line, 0), 0)] }

// groups reads a sorted sequence key by key.
type groups struct {
	pull  func() ([]byte, error, bool)
	stop  func()
	line  []byte // the next one, nil at the end
	err   error
	first []byte // copies of the lines of the current group
	again []byte
}

func newGroups(lines iter.Seq2[[]byte, error]) *groups {
	next, stop := iter.Pull2(lines)
	g := &groups{pull: next, stop: stop}
	g.next()
	return g
}

func (g *groups) next() { g.line, g.err, _ = g.pull() }

// take returns the lines that share the current key, at most two of them, and moves behind them. They are valid
// until the next call.
func (g *groups) take() [][]byte {
	g.first = append(g.first[:0], g.line...)
	group := [][]byte{g.first}
	for g.next(); g.line != nil && bytes.Equal(keyOf(g.line), keyOf(g.first)); g.next() {
		g.again = append(g.again[:0], g.line...)
		group = [][]byte{g.first, g.again}
	}
	return group
}

// tagManifest checks the tag files; the signature folder is not listed, since it cannot sign itself.
func (c *check) tagManifest() {
	text, ok := c.kept[tagManifestFile]
	if !ok {
		c.Report.faultf("missing", tagManifestFile, "it is missing: nothing says what was signed")
		return
	}
	c.Report.Root = c.tags[tagManifestFile]
	listed := map[string]bool{tagManifestFile: true}
	for line, err := range lines(bytes.NewReader(text)) {
		hash, name, ok := parseManifestLine(line)
		if err != nil || !ok || strings.HasPrefix(name, signatureDir) || listed[name] {
			c.Report.faultf("structure", tagManifestFile, "%.100q is not a line of a manifest, or comes twice", line)
			return
		}
		listed[name] = true
		switch got, there := c.tags[name]; {
		case !there:
			c.Report.faultf("missing", name, "the tag manifest lists it, but it is missing")
		case got != hash:
			c.Report.faultf("hash", name, "its contents were changed")
		}
	}
	for name := range c.tags {
		if !listed[name] && !strings.HasPrefix(name, signatureDir) {
			c.Report.faultf("unlisted", name, "it is not in the tag manifest")
		}
	}
	if !listed[manifestFile] || !listed[claimsFile] || !listed[bagitFile] || !listed[bagInfoFile] {
		c.Report.faultf("structure", tagManifestFile, "it does not list the manifest, the claims, bagit.txt and bag-info.txt: what they say is not signed")
	}
}

// bag checks bagit.txt and bag-info.txt (RFC 8493 sections 2.1.1 and 2.2.2).
func (c *check) bag() {
	if text := string(c.kept[bagitFile]); strings.TrimSpace(text) != strings.TrimSpace(bagitText) {
		c.Report.faultf("structure", bagitFile, "it does not say BagIt 1.0 in UTF-8")
	}
	if _, ok := c.tags["fetch.txt"]; ok {
		c.Report.faultf("structure", "fetch.txt", "it would have files fetched from elsewhere, which no archive of ours does")
	}
	want := fmt.Sprintf("Payload-Oxum: %d.%d", c.payload.Bytes, c.payload.Files)
	for line := range strings.Lines(string(c.kept[bagInfoFile])) {
		if strings.HasPrefix(line, "Payload-Oxum:") {
			if line = strings.TrimSpace(line); line != want {
				c.Report.faultf("oxum", bagInfoFile, "it says %q, but what is there makes %q", line, want)
			}
			return
		}
	}
	c.Report.faultf("structure", bagInfoFile, "it has no Payload-Oxum")
}

// signature checks both signatures against the key in the bag. Whose key that is, is judged with the claims.
func (c *check) signature() {
	pub, err := parsePublicPEM(c.kept[pemFile])
	if err != nil {
		c.Report.faultf("signature", pemFile, "%v", err)
		return
	}
	message := c.kept[tagManifestFile]
	if !ed25519.Verify(pub, message, c.kept[rawSigFile]) {
		c.Report.faultf("signature", rawSigFile, "the signature does not match")
	}
	if err := checkMinisig(pub, message, c.kept[minisigFile]); err != nil {
		c.Report.faultf("signature", minisigFile, "%v", err)
	}
	if !bytes.Equal(c.kept[minisignPubFile], minisignPublic(pub)) {
		c.Report.faultf("signature", minisignPubFile, "it is not the key in %s", pemFile)
	}
	c.Report.Signer = &Signer{Fingerprint: formats.HashOf(pub).String(), Why: "nobody is pinned"}
}

// claims checks what the operator states, as far as the claims alone tell. It returns false where nothing more can
// be held against them.
func (c *check) claims() bool {
	text, ok := c.kept[claimsFile]
	if !ok {
		c.Report.faultf("missing", claimsFile, "it is missing: this is no archive of a Passerelle gateway, or it was cut")
		return false
	}
	claims, err := parseClaims(text)
	if err != nil {
		c.Report.faultf("claims", claimsFile, "%v", err)
		return false
	}
	c.Report.Claims = &claims
	if c.tags[statementFile] != claims.Statement {
		c.Report.faultf("signature", statementFile, "it is not the operator statement that the claims name")
	}
	if !c.want.Any {
		c.forUs(&claims)
	}
	if x := c.archive.index; x != nil {
		c.indexed(x, &claims)
	}
	if c.want.Judge != nil && c.Report.Signer != nil {
		pub, _ := parsePublicPEM(c.kept[pemFile])
		*c.Report.Signer = c.want.Judge(c.kept[statementFile], pub, claims.Created)
		c.Report.Signer.Fingerprint = formats.HashOf(pub).String()
		if op := c.Report.Signer.Operator; op != "" && op != claims.Source.ID {
			c.Report.faultf("claims", claimsFile, "they name %q as the source, but the statement is that of %q", claims.Source.ID, op)
		}
	}
	return true
}

func (c *check) forUs(claims *Claims) {
	if r := claims.Recipient; r != nil && r.ID != c.want.Recipient {
		c.Report.faultf("recipient", claimsFile, "it was made for %s, not for %s: ask the source for one of your own", r.ID, orPerson(c.want.Recipient))
	}
	if claims.Expires != nil && c.want.Now.After(*claims.Expires) {
		c.Report.faultf("expired", claimsFile, "it expired on %s: ask the source for a new one", claims.Expires.Format("2006-01-02 15:04 MST"))
	}
}

func orPerson(id string) string {
	if id == "" {
		return "a person"
	}
	return id
}

// indexed checks that the volumes' index belongs to this bag.
func (c *check) indexed(x *volumeIndex, claims *Claims) {
	pub, err := parsePublicPEM(c.kept[pemFile])
	if err != nil || !bytes.Equal(pub, x.Key) {
		c.Report.faultf("index", x.Name+indexSuffix, "it is signed with another key than the bag")
	}
	if x.Root != c.Report.Root || x.ExportID != claims.ExportID || x.Sequence != claims.Sequence {
		c.Report.faultf("index", x.Name+indexSuffix, "it belongs to another export")
	}
}

// contents reads the records and holds them against blobs, counts and state root.
func (c *check) contents() error {
	for _, d := range formats.Datasets() {
		if s := c.records[d]; s != nil {
			if err := c.readRecords(d, s); err != nil {
				return err
			}
		}
	}
	claims := c.Report.Claims
	for _, d := range formats.Datasets() {
		var got DatasetClaim
		if counted := c.counts[d]; counted != nil {
			got = *counted
		}
		got.Dataset = d
		if want := claims.dataset(d); got != want {
			c.Report.faultf("count", claimsFile, "they state %+v of %s, but there are %+v", want.Count, d, got.Count)
		}
	}
	if err := c.blobsMatch(claims.Sequence > 0); err != nil {
		return err
	}
	if claims.Sequence > 0 {
		return nil // the state root is of the whole instance: whoever applies the delta checks it
	}
	root, err := linesRoot(c.states.Sorted())
	if err == nil && root != claims.StateRoot {
		c.Report.faultf("state-root", claimsFile, "the records do not add up to the state root that they state")
	}
	return err
}

func (c *check) readRecords(d formats.Dataset, s *spool) error {
	in, _, err := s.reader()
	if err != nil {
		return err
	}
	count := &DatasetClaim{Dataset: d}
	c.counts[d] = count
	number := 0
	for line, err := range lines(in) {
		number++
		var record formats.Record
		if err == nil {
			record, err = formats.ParseLine(line)
		}
		if err == nil && record.Dataset != d {
			err = fmt.Errorf("it is a record of %s", record.Dataset)
		}
		if err != nil {
			c.Report.faultf("record", dataDir+string(d)+"/"+recordsFile, "line %d: %v", number, err)
			return nil
		}
		if err := c.readRecord(count, &record, line); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) readRecord(count *DatasetClaim, record *formats.Record, line []byte) error {
	if !record.Deleted.IsZero() {
		count.Tombstones++
		return nil
	}
	count.Records++
	state := formats.State{Dataset: record.Dataset, ID: record.ID, Record: formats.HashOf(line)}
	if b := record.Blob; b != nil {
		count.Files++
		count.Bytes += b.Size
		state.Blob = b.SHA256
		if err := c.named.Add(blobKey(&c.line, b.SHA256, b.Size)); err != nil {
			return err
		}
	}
	c.line = state.AppendLine(c.line[:0])
	return c.states.Add(c.line)
}

// blobsMatch checks that every blob that a record names is there, unless the claims say that some were left out, and that none
// is there for nothing. A delta leaves out the blobs that the receiver has.
func (c *check) blobsMatch(delta bool) error {
	var broken error
	err := merge(keyed(c.named.Sorted()), keyed(c.held.Sorted()), func(named, held [][]byte) {
		switch name := keyOf(append(named, held...)[0]); {
		case len(held) == 0 && c.Report.Claims.LeftOut != nil:
			broken = errors.Join(broken, c.absent(name))
		case len(held) == 0 && !delta:
			c.Report.faultf("blob", "", "a record names a blob %.64s… that is not there", name)
		case len(named) == 0:
			c.Report.faultf("blob", "", "a blob %.64s… is there that no record names", name)
		}
	})
	c.leftOutAddsUp()
	return errors.Join(err, broken)
}

// keyed turns blob keys, which may hold any byte, into lines whose key is hexadecimal.
func keyed(keys iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var line []byte
		for key, err := range keys {
			line = append(hex.AppendEncode(line[:0], key), 0)
			if !yield(line, err) {
				return
			}
		}
	}
}

// blame names the volumes that are not as their index lists them, so that they can be fetched again.
func (a *Archive) blame(report *Report) {
	if a.index == nil {
		return
	}
	for i, v := range a.index.Volumes {
		if v.SHA256 == nil {
			continue
		}
		if hash, err := hashFile(a.paths[i]); err == nil && hash != *v.SHA256 {
			report.faultf("volume", v.Name, "it is not the volume that the index lists: get it again")
		}
	}
}

func hashFile(path string) (formats.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return formats.Hash{}, err
	}
	defer f.Close()
	digest := sha256.New()
	_, err = io.Copy(digest, f)
	return sum(digest), err
}
