package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestSeal(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, MinSecret)
	box, err := New(secret, "a")
	if err != nil {
		t.Fatal(err)
	}
	text, err := box.Seal("hello")
	if err != nil || strings.Contains(text, "hello") {
		t.Fatal(text, err)
	}
	var got string
	if err := box.Open(text, &got); err != nil || got != "hello" {
		t.Error(got, err)
	}
	if again, _ := box.Seal("hello"); again == text {
		t.Error("the same value is sealed to the same text")
	}
	otherUse, _ := New(secret, "b")
	otherSecret, _ := New(bytes.Repeat([]byte{8}, MinSecret), "a")
	for name, b := range map[string]*Box{"another use": otherUse, "another secret": otherSecret} {
		if err := b.Open(text, &got); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range text {
		changed := []byte(text)
		changed[i] ^= 1
		if err := box.Open(string(changed), &got); !errors.Is(err, ErrForeign) {
			t.Errorf("changed at %d: %v", i, err)
		}
	}
	for _, bad := range []string{"", "A", "!", text[:10]} {
		if err := box.Open(bad, &got); !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := New([]byte("short"), "a"); !errors.Is(err, ErrSecret) {
		t.Error(err)
	}
}
