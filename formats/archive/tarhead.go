package archive

import (
	"bytes"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
)

// A header of ours is a ustar header (POSIX.1-2017, pax, "ustar Interchange Format"), and before it, where the name does
// not fit or is not ASCII, a pax header with the one record "path". Package archive/tar writes just these bytes for
// tarHeader; doing so here, and reading them back by writing them again, costs a tenth of the time. Whatever is not of
// this form goes through archive/tar.
const (
	nameField   = 100
	prefixField = 155
	mostOctal   = 1<<33 - 1 // what eleven octal digits hold
	mostPax     = 64 << 10
)

// appendTarHead appends the header of a file, or reports that it has not the form above.
func appendTarHead(dst []byte, name string, size int64, modified time.Time) ([]byte, bool) {
	stamp := int64(0)
	if !modified.IsZero() {
		stamp = modified.Unix()
	}
	if size < 0 || size > mostOctal || stamp < 0 || stamp > mostOctal || name == "" || strings.IndexByte(name, 0) >= 0 || strings.HasSuffix(name, "/") {
		return dst, false
	}
	prefix, short := "", name
	if !isASCII(name) || len(name) > nameField {
		var ok bool
		if prefix, short, ok = splitName(name); !ok {
			if dst, ok = appendPax(dst, name); !ok {
				return dst, false
			}
			prefix, short = "", ascii(name)
		}
	}
	head := ustar(short, 0o644, size, stamp, '0')
	if len(short) > nameField && short[nameField-1] == '/' { // lest the name that is cut be taken for a folder's
		head[len(strings.TrimRight(short[:nameField-1], "/"))] = 0
	}
	copy(head[265:297], owner)
	copy(head[297:329], owner)
	octal(head[329:337], 0)
	octal(head[337:345], 0)
	copy(head[345:500], prefix)
	seal(&head)
	return append(dst, head[:]...), true
}

// appendPax appends the pax header with a path, and its contents.
func appendPax(dst []byte, name string) ([]byte, bool) {
	record := "path=" + name + "\n"
	size := len(record) + 2
	for len(strconv.Itoa(size))+1+len(record) != size {
		size = len(strconv.Itoa(size)) + 1 + len(record)
	}
	if size > mostPax {
		return dst, false
	}
	dir, file := path.Split(name)
	title := ascii(path.Join(dir, "PaxHeaders.0", file))
	title = strings.TrimRight(title[:min(len(title), nameField)], "/")
	head := ustar(title, 0, int64(size), 0, 'x')
	seal(&head)
	dst = append(dst, head[:]...)
	dst = strconv.AppendInt(dst, int64(size), 10)
	dst = append(dst, ' ')
	dst = append(dst, record...)
	return append(dst, make([]byte, paddingOf(int64(size)))...), true
}

func paddingOf(size int64) int64 { return (tarBlock - size%tarBlock) % tarBlock }

func ustar(name string, mode, size, modified int64, kind byte) (head [tarBlock]byte) {
	copy(head[:nameField], name)
	octal(head[100:108], mode)
	octal(head[108:116], 0)
	octal(head[116:124], 0)
	octal(head[124:136], size)
	octal(head[136:148], modified)
	head[156] = kind
	copy(head[257:], "ustar\x0000")
	return head
}

// seal writes the checksum: the sum of all bytes, with spaces where it goes.
func seal(head *[tarBlock]byte) {
	copy(head[148:156], "        ")
	sum := int64(0)
	for _, c := range head {
		sum += int64(c)
	}
	octal(head[148:155], sum)
}

// octal fills a field with digits, and ends it with a zero byte.
func octal(field []byte, value int64) {
	last := len(field) - 1
	field[last] = 0
	for i := last - 1; i >= 0; i-- {
		field[i] = '0' + byte(value&7)
		value >>= 3
	}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// ascii leaves out what is not ASCII.
func ascii(s string) string {
	if isASCII(s) {
		return s
	}
	only := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] < 0x80 {
			only = append(only, s[i])
		}
	}
	return string(only)
}

// splitName parts a long ASCII name at a slash, as late as the prefix allows.
func splitName(name string) (prefix, rest string, ok bool) {
	if !isASCII(name) || len(name) <= nameField {
		return "", "", false
	}
	at := strings.LastIndexByte(name[:min(len(name), prefixField+1)], '/')
	if at <= 0 || at > prefixField || len(name)-at-1 > nameField || len(name)-at-1 == 0 {
		return "", "", false
	}
	return name[:at], name[at+1:], true
}

// tarHead is what a header of ours says.
type tarHead struct {
	name string
	size int64
}

// readTarHead reads a header into buf, which it returns, and says what it is of. It reports false for whatever is not
// a header that appendTarHead writes; then buf holds what was read, and err what ended it.
func readTarHead(in io.Reader, buf, again []byte) (head tarHead, read, scratch []byte, ok bool, err error) {
	start := len(buf)
	if buf, err = readBlocks(in, buf, tarBlock); err != nil {
		return head, buf, again, false, err
	}
	first := buf[start:]
	name := ""
	if first[156] == 'x' {
		size, valid := parseOctal(first[124:136])
		if !valid || size > mostPax {
			return head, buf, again, false, nil
		}
		if buf, err = readBlocks(in, buf, int(size+paddingOf(size))+tarBlock); err != nil {
			return head, buf, again, false, err
		}
		record := buf[start+tarBlock:][:size]
		_, name, _ = strings.Cut(string(record), "path=")
		name = strings.TrimSuffix(name, "\n")
		first = buf[len(buf)-tarBlock:]
	}
	size, validSize := parseOctal(first[124:136])
	stamp, validTime := parseOctal(first[136:148])
	if first[156] != '0' || !validSize || !validTime {
		return head, buf, again, false, nil
	}
	if name == "" {
		name = text(first[:nameField])
		if prefix := text(first[345:500]); prefix != "" {
			name = prefix + "/" + name
		}
	}
	want, ok := appendTarHead(again[:0], name, size, time.Unix(stamp, 0))
	return tarHead{name, size}, buf, want, ok && bytes.Equal(want, buf[start:]), nil
}

// readBlocks appends n bytes to buf, or what there is.
func readBlocks(in io.Reader, buf []byte, n int) ([]byte, error) {
	start := len(buf)
	buf = append(buf, make([]byte, n)...)
	got, err := io.ReadFull(in, buf[start:])
	return buf[:start+got], err
}

// text is a field up to its first zero byte.
func text(field []byte) string {
	if end := bytes.IndexByte(field, 0); end >= 0 {
		field = field[:end]
	}
	return string(field)
}

func parseOctal(field []byte) (value int64, ok bool) {
	for _, c := range field[:len(field)-1] {
		if c < '0' || c > '7' {
			return 0, false
		}
		value = value<<3 | int64(c-'0')
	}
	return value, field[len(field)-1] == 0
}
