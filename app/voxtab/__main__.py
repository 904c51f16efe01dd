from voxtab.cli import main

main()
