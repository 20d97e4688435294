package main

import "github.com/spf13/cobra"

func exprTestCommand() *cobra.Command { return &cobra.Command{Use: "test FILE..."} }
