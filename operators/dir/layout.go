package dir

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

const formatName = "passerelle-dir/1"

// layout says how a target has written into a folder.
type layout struct {
	root *os.Root
	layoutJSON
}

type layoutJSON struct {
	Format string `json:"format"`
	Names  names  `json:"names"`
}

// openLayout returns nil for a folder that no target has written into.
func openLayout(root *os.Root) (*layout, error) {
	if info, err := lstat(root, systemDir); err != nil || info == nil || !info.IsDir() {
		return nil, err
	}
	text, err := root.ReadFile(formatFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	l := &layout{root: root}
	if err == nil {
		err = json.Unmarshal(text, &l.layoutJSON)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", formats.ErrInvalid, formatFile, err)
	}
	if l.Format != formatName || l.Names != anyBytes && l.Names != unicode && l.Names != portable {
		return nil, fmt.Errorf("%w: %s says %q, %q; this program knows %q: use a newer one", formats.ErrInvalid, formatFile, l.Format, l.Names, formatName)
	}
	return l, nil
}

// checkCommitted refuses to read a folder in which a load is half in place.
func (l *layout) checkCommitted(path string) error {
	info, err := lstat(l.root, commitDir)
	if err == nil && info != nil {
		err = fmt.Errorf("%w: an import into %q was cut off while it was put in place; run that import again, which completes it", operators.ErrChanged, path)
	}
	return err
}

const maxRecordLine = 256 << 20 // far above any record; keeps a damaged file from filling the memory

// eachRecord calls f with every record line of every dataset, and where it stands; the line is valid until f returns.
func (l *layout) eachRecord(f func(line []byte, r *formats.Record) error) error {
	for _, d := range formats.Datasets() {
		name := recordsDir + "/" + string(d) + recordsExt
		err := eachLine(l.root, name, func(line []byte) error {
			r, err := formats.ParseLine(line)
			if err == nil && r.Dataset != d {
				err = fmt.Errorf("%w: it is a record of the dataset %q", formats.ErrInvalid, r.Dataset)
			}
			if err != nil {
				return err
			}
			return f(line, &r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachLine reads a file line by line; one that is not there has none.
func eachLine(root *os.Root, name string, f func(line []byte) error) error {
	file, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unreadable("file", name, err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxRecordLine)
	lines.Split(wholeLines)
	for n := 1; lines.Scan(); n++ {
		if err := f(lines.Bytes()); err != nil {
			if errors.Is(err, errStop) {
				return err
			}
			return fmt.Errorf("%s, line %d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// errStop ends a walk over lines early; it is never shown.
var errStop = errors.New("stop")

// wholeLines is [bufio.ScanLines] for files of which every line ends with a line feed.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, fmt.Errorf("%w: the file ends in the middle of a line: %w", formats.ErrInvalid, io.ErrUnexpectedEOF)
	}
	return 0, nil, nil
}

// inTree reports whether a record has a place of its own among the files: bytes or a folder in tree/.
func inTree(r *formats.Record) bool {
	return strings.HasPrefix(r.Path, treePrefix) && (r.Blob != nil || r.Kind == formats.KindFolder)
}
