package bank

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

//go:embed profiles
var exampleFiles embed.FS

// Examples are profiles to begin one's own from: see the folder profiles. None of them is a real bank.
func Examples() ([]Profile, error) {
	folder, err := fs.Sub(exampleFiles, "profiles")
	if err != nil {
		return nil, err
	}
	return readProfiles(folder, "the examples")
}

// LoadProfiles reads the profiles in a folder: one bank a file, whose name is the bank's id and ".json". A folder that is not
// there holds none. The error names every fault of every file.
func LoadProfiles(folder string) ([]Profile, error) {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return readProfiles(os.DirFS(folder), folder)
}

// maxProfile is how many bytes a profile may have.
const maxProfile = 64 << 10

func readProfiles(folder fs.FS, name string) ([]Profile, error) {
	files, err := fs.Glob(folder, "*.json")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var profiles []Profile
	var faults []error
	for _, file := range files {
		p, err := readProfile(folder, file)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", filepath.Join(name, file), err))
		}
		profiles = append(profiles, p)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return profiles, nil
}

func readProfile(folder fs.FS, file string) (Profile, error) {
	f, err := folder.Open(file)
	if err != nil {
		return Profile{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return Profile{}, err
	}
	p, err := ParseProfile(text)
	if err == nil && p.ID != strings.TrimSuffix(file, ".json") {
		err = fmt.Errorf("%w: the bank's id is %q, and the file is not called %[2]s.json", formats.ErrInvalid, p.ID)
	}
	return p, err
}

// ParseProfile reads a profile, strictly: a member that is misspelt is no member.
func ParseProfile(text []byte) (Profile, error) {
	var p Profile
	if len(text) > maxProfile {
		return p, fmt.Errorf("%w: a profile has at most %d bytes", formats.ErrInvalid, maxProfile)
	}
	if err := strict.Decode(text, &p); err != nil {
		return p, fmt.Errorf("%w: %w", formats.ErrInvalid, err)
	}
	return p, p.Validate()
}
