// Package archive writes, reads and verifies the signed archive of an instance: a BagIt bag (RFC 8493) with RO-Crate
// 1.1 metadata that anyone can open with tar or unzip, check with sha256sum, openssl and minisign, and read without
// any software of ours.
//
// It streams: neither an instance nor the list of its files is ever held in memory. It must never know an operator's
// storage, a network, or whom to trust: trust is judged by the pins that it is handed.
package archive

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Format is the version that this package writes. Archives with the same major number are read.
const Format = "passerelle-archive/1.0"

// Standards are the open specifications that an archive follows, for those who read it without this program.
func Standards() []string {
	return []string{"BagIt 1.0 (RFC 8493)", "RO-Crate 1.1", "NDJSON", "JSON Schema 2020-12", "minisign", "age (where it is encrypted)"}
}

// RecordsFile is the file of each dataset's folder in which all of it is, without loss.
const RecordsFile = recordsFile

// The files of a bag, by their path in it.
const (
	bagitFile       = "bagit.txt"
	bagInfoFile     = "bag-info.txt"
	manifestFile    = "manifest-sha256.txt"
	tagManifestFile = "tagmanifest-sha256.txt"
	readmeFile      = "README.txt"
	claimsFile      = "claims.json"
	schemasDir      = "schemas/"
	dataDir         = "data/"
	crateFile       = "data/ro-crate-metadata.json"
	recordsFile     = "records.ndjson"
	deltaBlobsDir   = "data/blobs/"
	signatureDir    = "signature/"
	rawSigFile      = "signature/tagmanifest-sha256.txt.sig"
	minisigFile     = "signature/tagmanifest-sha256.txt.minisig"
	pemFile         = "signature/operator.pem"
	minisignPubFile = "signature/minisign.pub"
	statementFile   = "signature/operator.json"
)

const bagitText = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

// ErrFault is the parent of every error that says that an archive is not what it should be.
var ErrFault = errors.New("the archive is not sound")

// ErrExists is returned where an archive would be written over another.
var ErrExists = errors.New("it exists already; choose another name or remove it first")

// setAside begins the name under which a component is stored that could not stand in a path or in a manifest. The
// true name is in the record.
const setAside = "~passerelle~"

const (
	maxComponent = 255
	maxPath      = 1500 // bytes of a stored path; far below every system's limit, with room for a folder to unpack in
)

// storedName returns the component under which name is stored: itself wherever that is harmless on every system and
// needs no escape in a manifest, otherwise a name made from its hash.
func storedName(name string) string {
	if safeComponent(name) && !strings.HasPrefix(name, setAside) {
		return name
	}
	return setAside + formats.HashOf([]byte(name)).String()[:32]
}

func safeComponent(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= maxComponent &&
		!strings.ContainsFunc(name, unsafeRune) && !drivePrefix(name)
}

// drivePrefix reports whether name begins as C: does.
func drivePrefix(name string) bool {
	return len(name) > 1 && name[1] == ':' && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z')
}

func unsafeRune(r rune) bool {
	return r == '%' || r == '\\' || r == '/' || r < ' ' || r == 0x7f || r == '\uFFFD'
}

// storedPath returns where in the bag the bytes of a record are kept.
func storedPath(r *formats.Record) string {
	place := r.Path
	if place == "" {
		place = "items/" + strings.ReplaceAll(r.ID, "/", ":")
	}
	parts := strings.Split(place, "/")
	for i, p := range parts {
		parts[i] = storedName(p)
	}
	stored := dataDir + string(r.Dataset) + "/" + strings.Join(parts, "/")
	if len(stored) > maxPath {
		return asidePath(r)
	}
	return stored
}

// asidePath returns a short path that no other record has.
func asidePath(r *formats.Record) string {
	area, _ := formats.SplitPath(r.Path)
	key := string(r.Dataset) + "\n" + r.ID + "\n" + r.Path
	return path.Join(dataDir, string(r.Dataset), cmp.Or(string(area), "items"), setAside+formats.HashOf([]byte(key)).String())
}

// holdsBlob reports whether a payload file is the bytes of some record.
func holdsBlob(name string) bool {
	rest, ok := strings.CutPrefix(name, dataDir)
	if !ok {
		return false
	}
	if strings.HasPrefix(name, deltaBlobsDir) {
		return true
	}
	_, inDataset, _ := strings.Cut(rest, "/")
	area, _, nested := strings.Cut(inDataset, "/")
	switch area {
	case "tree", "trash", "versions", "items":
		return nested
	}
	return false
}

// checkPath refuses paths that could leave the bag or mean something else elsewhere.
func checkPath(name string) error {
	if len(name) > 2*maxPath || strings.Count(name, "/") > 200 {
		return fmt.Errorf("path %.80q… is too long or too deep", name)
	}
	for c := range strings.SplitSeq(name, "/") {
		switch {
		case c == "" || c == "." || c == "..":
			return fmt.Errorf("path %q leaves the bag or has an empty part", name)
		case !safeComponent(c):
			return fmt.Errorf("path %q is not safe on every system", name)
		}
	}
	return nil
}
