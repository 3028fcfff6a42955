package transfer

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/gofrs/flock"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
)

// intakeName is the form of the names of files that carry an archive, as browsers save them: they name files here.
var intakeName = regexp.MustCompile(`^[\pL\pN_][\pL\pN\pM._ ()+@'-]{0,150}\.(zip|zip\.age|tar|tar\.age|tar\.zst|tar\.zst\.age|index\.json|index\.json\.sig)$`)

const mostFiles = 1000

// checkFiles says what is against files before any of their bytes come.
func checkFiles(files []IntakeFile, most int64) error {
	if len(files) == 0 || len(files) > mostFiles {
		return fmt.Errorf("%w: %d files", ErrIntakeFiles, len(files))
	}
	seen := map[string]bool{}
	var total int64
	for n, f := range files {
		if !intakeName.MatchString(f.Name) || seen[f.Name] || f.Size <= 0 {
			return fmt.Errorf("%w: %.200q of %d bytes", ErrIntakeFiles, f.Name, f.Size)
		}
		if total += f.Size; f.Size > most || total > most {
			return ErrIntakeSize
		}
		seen[f.Name], files[n].Got = true, 0
	}
	return nil
}

// sameFiles reports whether two lists name the same files, in whatever order.
func sameFiles(a, b []IntakeFile) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(f IntakeFile) bool {
		return !slices.ContainsFunc(b, func(g IntakeFile) bool { return f.Name == g.Name && f.Size == g.Size })
	})
}

// Put writes a part of a file to where it ends, and returns how much of the file is here then. A part that begins elsewhere
// changes nothing: the error is [ErrIntakePlace], and what is returned says where to go on.
func (i *Intakes) Put(ctx context.Context, person, id, name string, from int64, content io.Reader) (got int64, err error) {
	if _, err := i.own(ctx, person, id); err != nil {
		return 0, err
	}
	unlock, err := i.lock(id)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	in, err := i.own(ctx, person, id)
	if err != nil {
		return 0, err
	}
	at := slices.IndexFunc(in.Files, func(f IntakeFile) bool { return f.Name == name })
	if at < 0 || in.State != IntakeComing {
		return 0, ErrNoIntake
	}
	f := in.Files[at]
	if from != f.Got {
		return f.Got, ErrIntakePlace
	}
	n, err := i.append(filepath.Join(i.folder(id), name), content, f.Size-f.Got)
	if i.opt.Now().Add(i.opt.Keep).Sub(in.Expires) > i.opt.Keep/20 { // not at each part
		err = errors.Join(err, i.change(ctx, id, func(*Intake) error { return nil }))
	}
	return f.Got + n, err
}

// lock keeps others from writing the files of an intake, or trying to open them, on whatever replica.
func (i *Intakes) lock(id string) (unlock func() error, err error) {
	l := flock.New(filepath.Join(i.folder(id), ".lock"))
	if ok, err := l.TryLock(); err != nil || !ok {
		return nil, errors.Join(err, ErrIntake)
	}
	return l.Unlock, nil
}

// append writes what comes to the end of a file, so many bytes at the most. What has come of a part that breaks off stays.
func (i *Intakes) append(name string, content io.Reader, most int64) (n int64, err error) {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if n, err = io.Copy(out, io.LimitReader(content, most)); err != nil {
		return n, fmt.Errorf("write a part of an archive: %w", err)
	}
	if extra, _ := io.ReadFull(content, make([]byte, 1)); extra > 0 {
		return n, fmt.Errorf("%w: more bytes than were announced", ErrIntakeSize)
	}
	if n == most {
		err = out.Sync()
	}
	return n, err
}

// Take takes in files that come one after the other, of sizes that nobody knows before: next returns the next one, and
// [io.EOF] after the last. Of what breaks off nothing stays.
func (i *Intakes) Take(ctx context.Context, person string, next func() (name string, content io.Reader, err error)) (in Intake, err error) {
	left, err := i.opt.Most(ctx, person)
	if err == nil {
		in, err = i.begin(ctx, person, nil)
	}
	if err != nil {
		return in, err
	}
	var files []IntakeFile
	for err == nil {
		var f IntakeFile
		if f, err = i.takeOne(in.ID, next, left); err == nil {
			files, left = append(files, f), left-f.Size
			err = checkFiles(files, 1<<62)
		}
	}
	if err == io.EOF && len(files) == 0 {
		err = ErrIntakeFiles
	}
	if err != io.EOF {
		return in, errors.Join(err, i.remove(context.WithoutCancel(ctx), in.ID))
	}
	in.Files = files
	return in, i.change(ctx, in.ID, func(now *Intake) error { now.Files = files; return nil })
}

func (i *Intakes) takeOne(id string, next func() (string, io.Reader, error), most int64) (IntakeFile, error) {
	name, content, err := next()
	if err != nil {
		return IntakeFile{}, err
	}
	if !intakeName.MatchString(name) {
		return IntakeFile{}, fmt.Errorf("%w: %.200q", ErrIntakeFiles, name)
	}
	n, err := i.append(filepath.Join(i.folder(id), name), content, most)
	return IntakeFile{Name: name, Size: n, Got: n}, err
}

// paths are the files of an intake that [archive.Open] wants to be named.
func (i *Intakes) paths(in *Intake) (paths []string) {
	for _, f := range in.Files {
		if !strings.HasSuffix(f.Name, ".sig") { // it is looked for beside its index
			paths = append(paths, filepath.Join(i.folder(in.ID), f.Name))
		}
	}
	return paths
}

// workFactor is the greatest cost of a passphrase (scrypt, the logarithm of N) that is borne: what age writes, 256 MiB.
const workFactor = 18

// identity is what a person gave to open their archive: a recovery key, of which the second result is the SHA-256 of its
// public part, or a passphrase.
func identity(secret string) (age.Identity, string, error) {
	if trimmed := strings.TrimSpace(secret); strings.HasPrefix(strings.ToUpper(trimmed), "AGE-SECRET-KEY-") {
		list, err := age.ParseIdentities(strings.NewReader(trimmed))
		if err != nil || len(list) != 1 {
			return nil, "", archive.ErrLocked
		}
		switch key := list[0].(type) {
		case *age.X25519Identity:
			return key, formats.HashOf([]byte(key.Recipient().String())).String(), nil
		case *age.HybridIdentity:
			return key, formats.HashOf([]byte(key.Recipient().String())).String(), nil
		}
		return list[0], "", nil
	}
	phrase, err := age.NewScryptIdentity(secret)
	if err != nil {
		return nil, "", archive.ErrLocked
	}
	phrase.SetMaxWorkFactor(workFactor)
	return phrase, "", nil
}

// unlock opens encrypted files with what the person gave, which is not kept.
func (i *Intakes) unlock(ctx context.Context, in *Intake, secret string) (archive.FileKeys, error) {
	if secret == "" {
		return archive.Unlock(i.paths(in))
	}
	with, key, err := identity(secret)
	if err != nil {
		return nil, err
	}
	select {
	case i.hard <- struct{}{}:
		defer func() { <-i.hard }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	keys, err := archive.Unlock(i.paths(in), with)
	if err == nil {
		in.Key = key
	}
	return keys, err
}

// tryUnlock is unlock for one request at a time: the others are not to wait.
func (i *Intakes) tryUnlock(ctx context.Context, in *Intake, secret string) (keys archive.FileKeys, err error) {
	free, err := i.lock(in.ID)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, free()) }()
	return i.unlock(ctx, in, secret)
}

// Check has an archive verified whose files are all here, opened by the recovery key or passphrase where they are encrypted.
// One that is not opened by it is locked then.
func (i *Intakes) Check(ctx context.Context, person, id, secret string) error {
	in, err := i.own(ctx, person, id)
	if err != nil {
		return err
	}
	if in.State != IntakeComing && in.State != IntakeLocked {
		return ErrIntake
	}
	if in.State == IntakeComing && slices.ContainsFunc(in.Files, func(f IntakeFile) bool { return f.Got < f.Size }) {
		return ErrIntakePart
	}
	keys, err := i.tryUnlock(ctx, &in, secret)
	switch {
	case errors.Is(err, archive.ErrLocked):
		return i.step(ctx, id, func(now *Intake) {
			now.State, now.Fault = IntakeLocked, FaultNoKey
			if secret != "" {
				now.Fault = FaultOtherKey
			}
		}, "", nil)
	case errors.Is(err, archive.ErrFault):
		return errors.Join(i.step(ctx, id, func(now *Intake) { now.State, now.Fault = IntakeRefused, FaultDamaged }, "", nil), i.clear(&in))
	case err != nil:
		return err
	}
	sealed, err := i.opt.Seal(keys)
	if err != nil {
		return err
	}
	job := intakeCheck.Job(intakeJob{id})
	return i.step(ctx, id, func(now *Intake) { now.State, now.Fault, now.Key, now.Tries = IntakeChecking, "", in.Key, 0 }, sealed, &job)
}

// step takes an intake further that waits for the person, with the keys of its files, and has the next thing done.
func (i *Intakes) step(ctx context.Context, id string, do func(*Intake), keys string, next *jobs.Job) error {
	return i.change(ctx, id, func(now *Intake) error {
		if now.State == IntakeChecking || now.State == IntakeLoading {
			return ErrIntake // the same was asked two times
		}
		do(now)
		return nil
	}, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE transfer_intake SET keys = CASE WHEN $2 = '' THEN keys ELSE $2 END, progress = '{}' WHERE id = $1`, id, keys); err != nil || next == nil {
			return err
		}
		return i.queue.Add(ctx, tx, *next, jobs.Options{})
	})
}

// Load has an archive loaded that the person has seen, and said yes to; or tried again where that failed.
func (i *Intakes) Load(ctx context.Context, person, id string) error {
	in, err := i.own(ctx, person, id)
	if err != nil {
		return err
	}
	if in.State != IntakeShown && in.State != IntakeFailed || in.Found == nil {
		return ErrIntake
	}
	job := intakeLoad.Job(intakeJob{id})
	return i.step(ctx, id, func(now *Intake) { now.State, now.Fault, now.Tries = IntakeLoading, "", 0 }, "", &job)
}

// Remove removes the intake of a person, unless it is being loaded.
func (i *Intakes) Remove(ctx context.Context, person, id string) error {
	in, err := i.own(ctx, person, id)
	if err != nil {
		return err
	}
	if in.State == IntakeLoading {
		return ErrIntake
	}
	return i.remove(ctx, id)
}

// RemoveAll removes what a person brings.
func (i *Intakes) RemoveAll(ctx context.Context, person string) error {
	in, err := i.find(ctx, i.db.Read, `person = $1`, person)
	if errors.Is(err, ErrNoIntake) {
		return nil
	}
	if err != nil {
		return err
	}
	return i.remove(ctx, in.ID)
}

// remove removes the files first: whoever fails here tries again.
func (i *Intakes) remove(ctx context.Context, id string) error {
	if err := os.RemoveAll(i.folder(id)); err != nil {
		return fmt.Errorf("remove an archive: %w", err)
	}
	if _, err := i.db.Write.ExecContext(ctx, `DELETE FROM transfer_intake WHERE id = $1`, id); err != nil {
		return fmt.Errorf("remove an archive: %w", err)
	}
	return nil
}

// expire removes an intake whose time is over, and looks again later where it is not.
func (i *Intakes) expire(ctx context.Context, job intakeJob) error {
	in, err := i.find(ctx, i.db.Read, `id = $1`, job.ID)
	if errors.Is(err, ErrNoIntake) {
		return os.RemoveAll(i.folder(job.ID))
	}
	if err != nil {
		return err
	}
	if left := in.Expires.Sub(i.opt.Now()); left > 0 {
		return jobs.Snooze(left)
	}
	return i.remove(ctx, job.ID)
}

// keysOf are the keys of the files of an intake.
func (i *Intakes) keysOf(ctx context.Context, id string) (keys archive.FileKeys, err error) {
	var sealed string
	if err := i.db.Read.QueryRowContext(ctx, `SELECT keys FROM transfer_intake WHERE id = $1`, id).Scan(&sealed); err != nil {
		return nil, err
	}
	return keys, i.opt.Open(sealed, &keys)
}

// progress writes how far an intake is. On SQLite that waits for the transaction of the load that it is about, which must
// not wait for it.
func (i *Intakes) progress(ctx context.Context, id string, p Progress) {
	text, err := json.Marshal(p)
	if err != nil {
		return
	}
	// Where it cannot be written only what is shown is older.
	_, _ = i.db.Write.ExecContext(ctx, `UPDATE transfer_intake SET progress = $2 WHERE id = $1`, id, string(text))
}
