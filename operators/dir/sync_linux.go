package dir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree makes everything that was written durable: one call for the whole disk is much cheaper than one a file.
func syncTree(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}
