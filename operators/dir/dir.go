// Package dir reads an instance from a folder on disk and writes one into a folder.
//
// Files and folders stand where the person had them, under their own names. What a folder tree cannot hold (contacts,
// bank operations, the trash, earlier versions, ids and native documents) is kept beside them:
//
//	ROOT/<path>                            files and folders, from tree/<path>
//	ROOT/.passerelle/format.json           what this is, and which names the disk takes
//	ROOT/.passerelle/records/<dataset>.ndjson   every record that was loaded, one a line
//	ROOT/.passerelle/blobs/<sha256>        bytes that have no place in the tree
//	ROOT/.passerelle/series/<key>.json     which archives were loaded, and (.tsv) what each series brought
//	ROOT/.passerelle/staging/              a load that is not finished: seen by nobody
//	ROOT/.passerelle/commit/               a load being put in place: the next load completes it, should this one be killed
//
// A [Source] over such a folder gives back the records as they were, and what the person has put or changed there since
// as files of their own. Over any other folder it gives files and folders alone.
//
// The package never leaves its root and never follows a symbolic link. Extended attributes and owners are not carried.
// It must never know an archive or another adapter.
package dir

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// The names in a folder that a target has written.
const (
	systemDir   = ".passerelle"
	formatFile  = systemDir + "/format.json"
	lockFile    = systemDir + "/lock"
	recordsDir  = systemDir + "/records"
	blobsDir    = systemDir + "/blobs"
	seriesDir   = systemDir + "/series"
	stagingDir  = systemDir + "/staging"
	commitDir   = systemDir + "/commit"
	stagedBlobs = "blobs" // in staging: whole blobs, by hash
	stagedPlan  = "plan"  // in staging: the steps of the commit
	stagedNew   = "new"   // in staging: records and series as they will be
	partSuffix  = ".part" // in staging: a blob on its way
	recordsExt  = ".ndjson"
	claimsExt   = ".tsv"
	seriesExt   = ".json"
)

// digest is a shortened SHA-256, as the key of what is remembered of each record: 16 bytes do not meet by chance, nor
// by anybody's will.
type digest [16]byte

func digestOf(parts ...string) digest {
	var buf [600]byte
	text := buf[:0]
	for i, p := range parts {
		if i > 0 {
			text = append(text, 0)
		}
		text = append(text, p...)
	}
	return short(sha256.Sum256(text))
}

func short(h formats.Hash) digest { return digest(h[:len(digest{})]) }

func keyOf(d formats.Dataset, id string) digest { return digestOf(string(d), id) }

// The moments that every common file system and Go's own nanoseconds can hold.
var (
	minTime = time.Date(1902, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// diskTime returns the modification time that the file of a record gets: 1970 where it is unknown.
func diskTime(modified time.Time) time.Time {
	switch {
	case modified.IsZero():
		return time.Unix(0, 0)
	case modified.Before(minTime):
		return minTime
	case modified.After(maxTime):
		return maxTime
	}
	return modified
}

// untouched reports whether a file is still what was put there, judged by its size and time as rsync does. FAT keeps
// even seconds only, which is allowed for.
func untouched(info fs.FileInfo, size int64, put time.Time) bool {
	if !info.Mode().IsRegular() || info.Size() != size {
		return false
	}
	now := info.ModTime()
	if now.Equal(put) {
		return true
	}
	late := put.Sub(now)
	return now.Nanosecond() == 0 && now.Unix()%2 == 0 && late > 0 && late < 2*time.Second
}

// lstat is Lstat, with nil for what is not there.
func lstat(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	return info, err
}

// unreadable says what to do about a file or folder that cannot be read.
func unreadable(what, path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s %q: %w: give yourself the right to read it (chmod u+rX), or move it out of the folder", what, path, err)
	}
	return fmt.Errorf("%s %q cannot be read: %w", what, path, err)
}
