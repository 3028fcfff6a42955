package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
)

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// parcelOf packs texts.
func parcelOf(t testing.TB, to age.Recipient, texts ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewParcel(&out, []age.Recipient{to})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if err := w.Add(formats.HashOf([]byte(text)), int64(len(text)), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestParcel packs blobs, which our reader unpacks, and age and tar do.
func TestParcel(t *testing.T) {
	own := identity(t)
	texts := []string{"", "a", strings.Repeat("b", 512), strings.Repeat("c", 300_000), ""}
	packed := parcelOf(t, own.Recipient(), texts...)
	p, err := OpenParcel(iotest.HalfReader(bytes.NewReader(packed)), []age.Identity{own})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for n, want := range texts {
		hash, size, err := p.Next()
		if err != nil || hash != formats.HashOf([]byte(want)) || size != int64(len(want)) {
			t.Fatalf("%d: %s of %d bytes, %v", n, hash, size, err)
		}
		if n == 2 {
			continue // what is not read is passed over
		}
		if got, err := io.ReadAll(p); err != nil || string(got) != want {
			t.Errorf("%d: %d bytes, %v", n, len(got), err)
		}
	}
	if _, _, err := p.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}

	plain, err := age.Decrypt(bytes.NewReader(packed), own)
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewReader(plain)
	for _, want := range texts {
		head, err := files.Next()
		if err != nil || head.Name != "data/blobs/"+formats.HashOf([]byte(want)).String() {
			t.Fatalf("%+v, %v", head, err)
		}
		if got, err := io.ReadAll(files); err != nil || string(got) != want {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if _, err := files.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := OpenParcel(bytes.NewReader(packed), []age.Identity{identity(t)}); !errors.Is(err, ErrLocked) {
		t.Errorf("for somebody else: %v", err)
	}
}

// TestParcelOfWhatCannotBeRead sends zeros in the place of bytes that a disk does not give any more, and all that comes after.
func TestParcelOfWhatCannotBeRead(t *testing.T) {
	own := identity(t)
	var out bytes.Buffer
	w, err := NewParcel(&out, []age.Recipient{own.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]io.Reader{
		"a disk that fails": io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(errors.New("input/output error"))),
		"a file that ends":  strings.NewReader("ab"),
	} {
		if err := w.Add(formats.HashOf([]byte(name)), 5, content); err != nil {
			t.Error(err)
		}
	}
	if err := w.Add(formats.HashOf([]byte("after")), 5, strings.NewReader("after")); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := OpenParcel(&out, []age.Identity{own})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, want := range []string{"ab\x00\x00\x00", "ab\x00\x00\x00", "after"} {
		if _, _, err := p.Next(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(p); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// TestHostileParcels opens what is no parcel.
func TestHostileParcels(t *testing.T) {
	own := identity(t)
	encrypted := func(plain []byte) []byte {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, own.Recipient())
		if err == nil {
			_, err = w.Write(plain)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	tarOf := func(heads ...tar.Header) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, h := range heads {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(make([]byte, h.Size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return encrypted(out.Bytes())
	}
	blob := "data/blobs/" + formats.HashOf(nil).String()
	whole := parcelOf(t, own.Recipient(), strings.Repeat("x", 200_000))
	for name, text := range map[string][]byte{
		"a link":                    tarOf(tar.Header{Typeflag: tar.TypeSymlink, Name: blob, Linkname: "/etc/passwd"}),
		"a folder":                  tarOf(tar.Header{Typeflag: tar.TypeDir, Name: "data/blobs/"}),
		"a device":                  tarOf(tar.Header{Typeflag: tar.TypeChar, Name: blob}),
		"another file":              tarOf(tar.Header{Typeflag: tar.TypeReg, Name: "data/files/tree/a"}),
		"a path that climbs":        tarOf(tar.Header{Typeflag: tar.TypeReg, Name: "data/blobs/../../a"}),
		"half a hash":               tarOf(tar.Header{Typeflag: tar.TypeReg, Name: blob[:40]}),
		"nothing":                   nil,
		"not encrypted":             []byte("data"),
		"no tar":                    encrypted(bytes.Repeat([]byte("x"), 2000)),
		"cut":                       whole[:100_000],
		"cut before its end":        whole[:len(whole)-20],
		"another bit in the middle": func() []byte { c := bytes.Clone(whole); c[100_000] ^= 1; return c }(),
	} {
		t.Run(name, func(t *testing.T) {
			if err := unpackParcel(text, own); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func unpackParcel(text []byte, own age.Identity) error {
	p, err := OpenParcel(bytes.NewReader(text), []age.Identity{own})
	if err != nil {
		return err
	}
	defer p.Close()
	for {
		_, size, err := p.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n, err := io.Copy(io.Discard, p); err != nil || n != size {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
}

// FuzzParcel unpacks anything.
func FuzzParcel(f *testing.F) {
	own := identity(f)
	seal := func(plain []byte) []byte {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, own.Recipient())
		if err == nil {
			_, err = w.Write(plain)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			f.Fatal(err)
		}
		return out.Bytes()
	}
	plain, err := age.Decrypt(bytes.NewReader(parcelOf(f, own.Recipient(), "a", strings.Repeat("b", 600))), own)
	if err != nil {
		f.Fatal(err)
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, plain []byte) { _ = unpackParcel(seal(plain), own) })
}
