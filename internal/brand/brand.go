// Package brand reads under whose name an installation shows itself: a folder for each host name, with a brand.json, a
// logo and legal texts. One installation serves many brands.
//
// A brand is checked when the program starts, and everything that is wrong with it is said at once: a logo that is no
// image, colours that somebody could not read, a legal text that loads something from elsewhere. It must never know what
// pages there are.
package brand

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// ErrInvalid is wrapped by every error about what is in a brand's folder.
var ErrInvalid = errors.New("the brand cannot be used")

// Brand is one name under which pages are shown. Name must be set.
type Brand struct {
	Name    string
	Contact string // a mail address, or the https address of a page; "" if there is none
	Logo    *Logo  // nil: the name is written instead
	Legal   []Legal

	alt map[string]string // what the logo says, by language
	css []byte
}

// CSS is what the brand's colours change, "" if nothing.
func (b *Brand) CSS() []byte { return b.css }

// Alt is what the logo says to whoever does not see it, in a language.
func (b *Brand) Alt(lang string) string {
	if alt := b.alt[lang]; alt != "" {
		return alt
	}
	return b.Name
}

// Legal is one legal text: a page of ours, or one elsewhere.
type Legal struct {
	Slug  string                   // names it in its address
	Title map[string]string        // by language (BCP 47)
	HTML  map[string]template.HTML // by language; none if URL is set
	URL   string                   // https
}

// Brands are those of an installation, by host name.
type Brands struct {
	fallback *Brand
	hosts    map[string]*Brand
}

// Single is one brand for every host name.
func Single(b Brand) (*Brands, error) {
	if err := checkName(b.Name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &Brands{fallback: &b}, nil
}

// Default sets the brand for host names that have none of their own, unless the folder "default" says it.
func (b *Brands) Default(own Brand) {
	if b.fallback == nil {
		b.fallback = &own
	}
}

// For is the brand of a host name, as a request's Host says it.
func (b *Brands) For(host string) *Brand {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if found, ok := b.hosts[strings.ToLower(strings.TrimSuffix(host, "."))]; ok {
		return found
	}
	return b.fallback
}

// fallbackFolder is the folder of the brand for all other host names.
const fallbackFolder = "default"

// hostForm is that of a host name as browsers send it (RFC 1123, and RFC 5890 for others than ASCII).
var hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// Load reads the folders in dir. Each is named by a host name, or "default". The error names every fault of every brand,
// and wraps [ErrInvalid].
func Load(dir string) (*Brands, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	all := &Brands{hosts: map[string]*Brand{}}
	var faults []error
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		faults = append(faults, all.add(root, entry.Name()))
	}
	if all.fallback == nil && len(all.hosts) == 0 {
		faults = append(faults, fmt.Errorf("%w: no folder in %s: make one for each host name, or one called %s, with a brand.json", ErrInvalid, dir, fallbackFolder))
	}
	return all, errors.Join(faults...)
}

func (b *Brands) add(root *os.Root, folder string) error {
	if !hostForm.MatchString(folder) {
		return fmt.Errorf("%w: folder %q: not a host name in small letters as browsers send it (xn--… for others than ASCII), nor %q", ErrInvalid, folder, fallbackFolder)
	}
	l := &loader{root: root, folder: folder}
	found := l.load()
	if folder == fallbackFolder {
		b.fallback = found
	} else {
		b.hosts[folder] = found
	}
	return errors.Join(l.faults...)
}

// file is a brand.json.
type file struct {
	Name    string            `json:"name"`
	Contact string            `json:"contact"`
	Logo    string            `json:"logo"`
	LogoAlt map[string]string `json:"logo_alt"`
	Light   colours           `json:"light"`
	Dark    colours           `json:"dark"`
	Legal   []legalFile       `json:"legal"`
}

type legalFile struct {
	Slug  string            `json:"slug"`
	Title map[string]string `json:"title"`
	Text  map[string]string `json:"text"` // Markdown files by language
	URL   string            `json:"url"`
}

// loader reads one brand, and goes on after a fault.
type loader struct {
	root   *os.Root
	folder string
	faults []error
}

func (l *loader) fault(where string, err error) {
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("%w: %s: %w", ErrInvalid, path.Join(l.folder, where), err))
	}
}

func (l *loader) load() *Brand {
	var f file
	text, err := l.read("brand.json", maxText)
	if err == nil {
		err = strict.Decode(text, &f)
	}
	if err != nil {
		l.fault("brand.json", err)
		return nil
	}
	b := &Brand{Name: f.Name, Contact: f.Contact, alt: f.LogoAlt}
	l.fault("brand.json: name", checkName(f.Name))
	l.fault("brand.json: contact", checkContact(f.Contact))
	for lang, alt := range f.LogoAlt {
		l.fault("brand.json: logo_alt: "+lang, checkName(alt))
	}
	b.css, err = styles(f.Light, f.Dark)
	l.fault("brand.json", err)
	if f.Logo != "" {
		b.Logo = l.logo(f.Logo)
	}
	b.Legal = l.legal(f.Legal)
	return b
}

const (
	maxText = 256 << 10 // bytes of brand.json, and of a legal text
	maxLogo = 100 << 10 // bytes
)

// read reads a file of the brand's folder, and none outside of it.
func (l *loader) read(name string, most int64) ([]byte, error) {
	f, err := l.root.Open(path.Join(l.folder, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is not a file")
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if int64(len(text)) > most {
		return nil, fmt.Errorf("it has more than %d kB", most>>10)
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), err
}

const maxName = 60 // characters

// checkName refuses what nobody could read on a page, or what would be read as something else.
func checkName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("it is empty: people must see whose page this is")
	case !utf8.ValidString(name):
		return errors.New("it is not UTF-8")
	case utf8.RuneCountInString(name) > maxName:
		return fmt.Errorf("it has more than %d characters", maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%q holds characters that nobody sees", name)
	}
	return nil
}

func checkContact(contact string) error {
	if contact == "" {
		return nil
	}
	if checkLink(contact) == nil {
		return nil
	}
	address, err := mail.ParseAddress(contact)
	if err != nil || address.Address != contact {
		return fmt.Errorf("%q is neither a mail address nor an https address", contact)
	}
	return nil
}

func checkLink(link string) error {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("%q is not an https address", link)
	}
	return nil
}
