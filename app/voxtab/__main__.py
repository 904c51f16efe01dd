from voxtab.native.cli import main

main()
